"""What stands in which register of the PLC, read and written over Modbus TCP."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Self

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from vlmad.errors import InputError

if TYPE_CHECKING:
    from pymodbus.pdu import ModbusPDU

TRIGGER, HEARTBEAT = 0, 2
"""Where what the PLC says begins, and what vlmad says; counted from the base."""
SECONDS = 1.0
"""As long a request may take."""
logging.getLogger("pymodbus").addHandler(logging.NullHandler())  # what it says is raised as well


class State(IntEnum):
    """What vlmad is doing."""

    OFF = 0
    READY = 1
    BUSY = 2
    ANSWERED = 3


class Verdict(IntEnum):
    """The answer. Nothing but `OK` is good."""

    NONE = 0
    OK = 1
    NG = 2


class Fault(IntEnum):
    """Why a part was not judged; the answer is `NG` with every one."""

    NONE = 0
    NO_IMAGE = 1
    """No whole image came in time."""
    NOT_SCORED = 2
    """The image could not be read or scored, was replaced meanwhile, or another came as well."""
    NO_THRESHOLD = 3
    """Nothing says from which score on a part is bad."""
    TOO_LATE = 4
    """There was no judgement in time."""
    NOT_THERE = 5
    """vlmad started after the trigger."""
    STOPPED = 6
    """vlmad stopped before the answer."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the PLC says."""

    trigger: bool
    part: int
    """Its number of the part, which the answer repeats."""


class Registers:
    """A block of seven holding registers; use it in a ``with`` statement.

    From `base` on: 0 trigger and 1 part, which the PLC writes; 2 heartbeat, 3 state, 4 part,
    5 verdict and 6 fault, which are written together.

    Raises:
        InputError: the PLC does not answer; also by each method.
    """

    def __init__(self, host: str, port: int, base: int = 0, device: int = 1) -> None:
        self.base, self.device, self.place = base, device, f"{host}:{port}"
        self._client = ModbusTcpClient(host, port=port, timeout=SECONDS, retries=0)
        self._beat = 0

    def __enter__(self) -> Self:
        if not self._client.connect():
            raise InputError(f"the PLC at {self.place} does not answer")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._client.close()

    def read(self) -> Signals:
        """Return what the PLC says now."""
        place = self.base + TRIGGER
        try:
            answer = self._client.read_holding_registers(place, count=2, device_id=self.device)
        except (ModbusException, OSError) as error:
            raise self._away(error) from error
        self._check(answer)
        trigger, part = answer.registers
        return Signals(trigger == 1, part)

    def write(
        self,
        state: State,
        part: int = 0,
        verdict: Verdict = Verdict.NONE,
        fault: Fault = Fault.NONE,
    ) -> None:
        """Say something, in one request, with the next beat of the heart."""
        self._beat = (self._beat + 1) % 65536
        values = [self._beat, int(state), part, int(verdict), int(fault)]
        place = self.base + HEARTBEAT
        try:
            answer = self._client.write_registers(place, values, device_id=self.device)
        except (ModbusException, OSError) as error:
            raise self._away(error) from error
        self._check(answer)

    def _check(self, answer: ModbusPDU) -> None:
        if answer.isError():
            raise InputError(f"the PLC at {self.place} refuses its registers from {self.base} on")

    def _away(self, error: Exception) -> InputError:
        return InputError(f"the PLC at {self.place} does not answer: {error}")
