"""FAKE: the part of pyobjc's AVFoundation that is used."""

import fake_mac

AVMediaTypeVideo, AVMediaTypeMuxed = "vide", "muxx"
AVAuthorizationStatusNotDetermined = fake_mac.NOT_DETERMINED
AVAuthorizationStatusRestricted = fake_mac.RESTRICTED
AVAuthorizationStatusDenied = fake_mac.DENIED
AVAuthorizationStatusAuthorized = fake_mac.AUTHORIZED


class AVCaptureDevice:
    def __init__(self, entry):
        self._entry = entry

    def __eq__(self, other):
        return isinstance(other, AVCaptureDevice) and self._entry == other._entry

    __hash__ = None

    def uniqueID(self):
        return self._entry[0]

    def localizedName(self):
        return self._entry[1]

    def deviceType(self):
        return self._entry[2]

    def isContinuityCamera(self):
        return self._entry[3]

    @staticmethod
    def devicesWithMediaType_(kind):
        return [AVCaptureDevice(one) for one in fake_mac.known] if kind == "vide" else []

    @staticmethod
    def defaultDeviceWithMediaType_(kind):
        devices = AVCaptureDevice.devicesWithMediaType_(kind)
        return devices[0] if devices else None

    @staticmethod
    def authorizationStatusForMediaType_(kind):
        assert kind == "vide"
        return fake_mac.status()

    @staticmethod
    def requestAccessForMediaType_completionHandler_(kind, handler):
        assert kind == "vide"
        assert callable(handler)
        fake_mac.ask()
