"""FAKE: what the frameworks and OpenCV's library share, see sitecustomize.py."""

import json
import os
import threading
import time

import cv2
import numpy as np

NOT_DETERMINED, RESTRICTED, DENIED, AUTHORIZED = range(4)
asked = False


def state():
    with open(os.environ["FAKE_MAC"]) as file:
        return json.load(file)


known = state()["cameras"]  # as of the run loop's last turn


def turn(seconds):
    global known
    assert threading.current_thread() is threading.main_thread()
    time.sleep(max(0.0, seconds))
    known = state()["cameras"]


def status():
    """Undecided until it was asked for, whatever the user will answer."""
    told = state()["status"]
    return told if asked or told in (RESTRICTED, AUTHORIZED) else NOT_DETERMINED


def ask():
    global asked
    asked = True
    with open(os.environ["FAKE_MAC"] + ".asked", "a") as file:
        file.write("asked\n")


class VideoCapture:
    def __init__(self, number, backend, parameters=()):
        assert backend == cv2.CAP_AVFOUNDATION, "without it OpenCV may open another camera"
        assert not parameters, "OpenCV fails on those that AVFoundation's backend does not know"
        assert os.environ["OPENCV_AVFOUNDATION_SKIP_AUTH"] == "1"
        cameras = sorted(known)
        self._camera = None
        if status() != AUTHORIZED:
            os.write(2, b"OpenCV: not authorized to capture video (status 0), requesting...\n")
            os.write(2, b"OpenCV: camera failed to properly initialize!\n")
        elif number >= len(cameras):
            os.write(2, b"OpenCV: out device of bound (0-0): 1\n")
            os.write(2, b"OpenCV: camera failed to properly initialize!\n")
        else:
            self._camera = cameras[number]

    def isOpened(self):
        return self._camera is not None

    def read(self):
        time.sleep(1 / 30)
        if self._camera not in state()["cameras"]:
            return False, None
        noise = np.random.default_rng().integers(0, 9, (480, 640, 1), np.uint8)
        return True, np.full((480, 640, 3), self._camera[4], np.uint8) + noise

    def get(self, what):
        return {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}.get(what, 0.0)

    def release(self):
        self._camera = None
