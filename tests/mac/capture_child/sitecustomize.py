"""FAKE: makes a Mac of the capture child, when this folder is in PYTHONPATH. Of other processes it
makes nothing.

Behaves as OpenCV 5.0.0.93's library for macOS and AVFoundation were seen to do: cameras are
numbered in the order of their unique IDs; opening one fails while access is not granted, whatever
is asked, and writes two lines to C's stderr; which cameras there are is told by the main thread's
run loop alone. The state is in the JSON file that FAKE_MAC names: "status", an
AVAuthorizationStatus, and "cameras", each [unique ID, name, device type, is it a phone, level].
"""

import sys

if sys.orig_argv[-2:] == ["-m", "narrator.frames.capture"]:
    import urllib.request  # noqa: F401, before it would look for a Mac's proxies

    import cv2
    import fake_mac

    sys.platform = "darwin"
    cv2.VideoCapture = fake_mac.VideoCapture
