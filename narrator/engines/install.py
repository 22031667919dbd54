"""What install.sh calls: the models that suit this machine are brought here and made ready."""

from __future__ import annotations

import logging

from narrator import libraries
from narrator.engines.choice import choose_engine, open_engine
from narrator.errors import ExitCode, PeteError
from narrator.settings import DEFAULT_MODEL, DEMO
from narrator.terminal import Terminal, log_to

log = logging.getLogger(__name__)


def install_models() -> int:
    """Open the default model, which downloads and converts it where that is not done yet, and the
    one of --demo. Returns an exit code."""
    libraries.set_environment()
    log_to(Terminal())
    code = ExitCode.OK
    for model in (DEFAULT_MODEL, str(DEMO)):
        try:
            open_engine(choose_engine("auto", None), model)
        except PeteError as error:
            log.error(str(error))
            code = error.exit_code
    if code is ExitCode.OK:
        log.info(f"{DEFAULT_MODEL} is ready")
    return int(code)
