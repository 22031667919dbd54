"""The switches of libraries that hold for the whole process: the one place that sets them.

Environment variables are read when a library is imported, so set_environment() comes before any.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import warnings

from narrator.redrawing import may_redraw
from narrator.settings import CACHE

# Of Debian and its kin, of Fedora and its kin, of macOS and others.
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
MAX_PIXELS = 100_000_000  # of a picture: more would take gigabytes to decode


def set_environment() -> None:
    """Keep the libraries quiet, their files in .hf_cache, and the network unused."""
    defaults = {
        "OPENBLAS_NUM_THREADS": "1",  # NumPy's: more wait busily for work that does not come.
        "OPENCV_FOR_THREADS_NUM": "1",  # More take longer to wake than there is to do.
        "OPENCV_LOG_LEVEL": "SILENT",
        "QT_LOGGING_RULES": "*=false",  # its remarks on fonts and on Wayland
    }
    warnings.simplefilter("ignore")  # Pillow's, of damaged and of large pictures
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ.update(
        HF_HOME=str(CACHE),
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_VERBOSITY="error",  # or it logs what a server's headers tell it to
        TOKENIZERS_PARALLELISM="false",
        TRANSFORMERS_VERBOSITY="error",
        OPENCV_AVFOUNDATION_SKIP_AUTH="1",  # frames/mac_camera.py asks for the camera
        QT_QPA_PLATFORM="xcb",  # the one platform of Qt that OpenCV's Linux wheel brings along
    )
    if not (sys.stderr.isatty() and may_redraw()):
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def stream_options() -> dict[str, str]:
    """How FFmpeg opens streams: certificates are checked, and no proxy of the environment is asked
    (only a value that begins with http:// is one). The user's own options come last and so win."""
    options = {
        "rtsp_transport": "tcp",
        "http_proxy": "none",
        "tls_verify": "1",
        "ca_file": ca_file() or "",
    }
    for given in os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS", "").split("|"):
        name, _, options[name] = given.partition(";")
    return {name: value for name, value in options.items() if value}


def ca_file() -> str | None:
    """The file of those who may vouch for a server: what SSL_CERT_FILE names, or the system's."""
    import ssl

    named = ssl.get_default_verify_paths().cafile
    return named or next(filter(os.path.exists, CA_FILES), None)


def hide_torch() -> None:
    """Make Python answer that there is no torch: transformers would import it where it finds it,
    which takes seconds, and mlx-vlm has no use for it."""
    for name in ("torch", "torchvision"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def forbid_network() -> None:
    """Keep huggingface-hub and transformers off the network from now on: the model is on disk, and
    a library may ask the Hub about a local folder, too. Called after a download, never before one:
    the environment is read when huggingface_hub is imported, its constant at each request."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True


def keep_freed_memory() -> None:
    """Tell the GNU C library to keep freed memory for the next tensor or picture.

    It would give large blocks back to the system each time and fault them in again, page by page:
    40,000 faults a frame. The numbers are M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of mallopt(3).
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 1 << 30)
        mallopt(-1, (1 << 31) - 1)


def quiet_alsa() -> None:
    """Keep what the ALSA library has to say about a missing sound device off the terminal."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(IGNORE)


IGNORE = ctypes.CFUNCTYPE(None)(lambda: None)  # its arguments vary in number, and are not read
