"""A Mac's cameras and the permission to use them, by AVFoundation; on the main thread of the
capture child alone, as macOS asks there, and reports there which cameras come and go.

No one has run this on a Mac yet; see KNOWN_ISSUES.md.
"""

from __future__ import annotations

from AVFoundation import (
    AVAuthorizationStatusAuthorized,
    AVAuthorizationStatusDenied,
    AVAuthorizationStatusNotDetermined,
    AVAuthorizationStatusRestricted,
    AVCaptureDevice,
    AVMediaTypeMuxed,
    AVMediaTypeVideo,
)
from Foundation import NSDate, NSRunLoop

from narrator.text import printable

SETTINGS = "System Settings > Privacy & Security > Camera"
BUILT_IN = "AVCaptureDeviceTypeBuiltInWideAngleCamera"
REFUSED = {
    AVAuthorizationStatusDenied: "is not allowed; allow it for your terminal in "
    f"{SETTINGS}, then start again",
    AVAuthorizationStatusRestricted: "is not allowed on this Mac: Screen Time, or who manages it, "
    "keeps cameras off",
}


def devices() -> list[AVCaptureDevice]:
    """In the order in which OpenCV numbers them, that of their unique IDs (startCaptureDevice in
    its cap_avfoundation_mac.mm)."""
    kinds = (AVMediaTypeVideo, AVMediaTypeMuxed)
    found = [one for kind in kinds for one in AVCaptureDevice.devicesWithMediaType_(kind)]
    return sorted(found, key=lambda one: str(one.uniqueID()))


def mac_cameras() -> list[tuple[str, str]]:
    """Name and unique ID of each camera, by OpenCV's numbers."""
    return [(printable(str(one.localizedName())), str(one.uniqueID())) for one in devices()]


def default_identity() -> str | None:
    """The unique ID of the camera that the system would take; a phone that is near (Continuity
    Camera) only where there is no other."""
    usual = AVCaptureDevice.defaultDeviceWithMediaType_(AVMediaTypeVideo)
    ranked = [(is_phone(one), one != usual, one.deviceType() != BUILT_IN, i, one)
              for i, one in enumerate(devices())]  # fmt: skip
    return str(min(ranked)[-1].uniqueID()) if ranked else None


def is_phone(device: AVCaptureDevice) -> bool:
    """Whether it is an iPhone or iPad, by its kind where macOS says so (13 and newer)."""
    if not hasattr(device, "isContinuityCamera"):
        return False
    return bool(device.isContinuityCamera())


def turn_run_loop(seconds: float = 0.0) -> None:
    """Let macOS report which cameras came and went, for so long."""
    NSRunLoop.currentRunLoop().runUntilDate_(NSDate.dateWithTimeIntervalSinceNow_(seconds))


def permission() -> int:
    """The AVAuthorizationStatus."""
    return int(AVCaptureDevice.authorizationStatusForMediaType_(AVMediaTypeVideo))


def is_undecided() -> bool:
    return bool(permission() == AVAuthorizationStatusNotDetermined)


def ask_permission() -> None:
    """Have macOS ask the user, and come back at once."""
    AVCaptureDevice.requestAccessForMediaType_completionHandler_(
        AVMediaTypeVideo, lambda granted: None
    )


def why_refused() -> str | None:
    """Why the camera may not be used, to be said after its number; None where it may be."""
    return REFUSED.get(permission())


def mac_problem(name: str) -> str:
    """Why a camera shows nothing, to be said after its number and name."""
    if permission() != AVAuthorizationStatusAuthorized:
        return why_refused() or "is not permitted yet; start again, and choose Allow"
    if "iPhone" in name or "iPad" in name:
        return (
            "shows no picture; lock the phone and keep it near and still, with Wi-Fi and Bluetooth "
            "on, or give another camera's number"
        )
    return "shows no picture; close other programs that may be using it"
