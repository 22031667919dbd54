"""Why a Mac's camera shows nothing, a sentence for each cause that is known.

No one has run this on a Mac yet; see KNOWN_ISSUES.md.
"""

from __future__ import annotations

from AVFoundation import (
    AVAuthorizationStatusDenied,
    AVAuthorizationStatusNotDetermined,
    AVAuthorizationStatusRestricted,
    AVCaptureDevice,
    AVMediaTypeVideo,
)

# Their Info.plist has an NSCameraUsageDescription: without one macOS refuses and does not ask.
CAN_ASK = "Terminal, iTerm2, Warp and VS Code are terminals that can ask for it"
SETTINGS = "System Settings > Privacy & Security > Camera"


def mac_problem(name: str) -> str:
    """What is wrong, to be said after the camera's number. name: of the camera, as macOS has it."""
    status = AVCaptureDevice.authorizationStatusForMediaType_(AVMediaTypeVideo)
    if status == AVAuthorizationStatusDenied:
        return f"is not allowed; allow it for your terminal in {SETTINGS}, then start again"
    if status == AVAuthorizationStatusRestricted:
        return "is not allowed on this Mac: Screen Time, or who manages it, keeps cameras off"
    if status == AVAuthorizationStatusNotDetermined:
        return f"is not allowed yet; start again, and answer macOS's question by Allow ({CAN_ASK})"
    if "iPhone" in name or "iPad" in name:
        return (
            f"is {name} (Continuity Camera) and shows no picture; lock it and keep it near and "
            "still, with Wi-Fi and Bluetooth on, or give another camera's number"
        )
    return "shows no picture; close other programs that may be using it, then start again"
