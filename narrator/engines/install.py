"""What install.sh calls: the model that suits this machine is brought here."""

from __future__ import annotations

import logging

from narrator import libraries
from narrator.engines.choice import choose_engine
from narrator.errors import ExitCode, PeteError
from narrator.models.weights import find_weights
from narrator.settings import DEFAULT_MODEL
from narrator.terminal import Terminal, log_to

log = logging.getLogger(__name__)


def install_model() -> int:
    """Download the default model and convert it, where that is not done yet. Returns an exit
    code."""
    libraries.set_environment()
    log_to(Terminal())
    try:
        find_weights(DEFAULT_MODEL, choose_engine("auto", None).weights())
    except PeteError as error:
        log.error(str(error))
        return int(error.exit_code)
    log.info(f"{DEFAULT_MODEL} is ready")
    return int(ExitCode.OK)
