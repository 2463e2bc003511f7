"""A PLC on the loopback, to try and to test with: its registers, and the program that it runs.

python -m vlmad_plc.simulator 5020
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from dataclasses import dataclass
from typing import Self

from pymodbus.client import ModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from vlmad_plc.registers import Fault, State, Verdict

PATIENCE = 20.0
"""Seconds until it gives up; far more than anything takes."""


class PlcServer:
    """The registers of a PLC; they keep what was written while it is on."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._up, self._down = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._up.wait(PATIENCE):
            raise OSError(f"port {self.port} cannot be had")
        return self

    def __exit__(self, *_: object) -> None:
        self._down.set()
        self._thread.join(PATIENCE)

    async def _serve(self) -> None:
        registers = SimData(0, count=16, values=0, datatype=DataType.REGISTERS)
        server = ModbusTcpServer(SimDevice(1, [registers]), address=("127.0.0.1", self.port))
        await server.serve_forever(background=True)
        self.port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self._up.set()
        await asyncio.to_thread(self._down.wait)
        await server.shutdown()


@dataclass(frozen=True, slots=True)
class Said:
    """What vlmad says in its registers."""

    heartbeat: int
    state: State
    part: int
    verdict: Verdict
    fault: Fault


class PlcProgram:
    """What the program of a PLC does: it triggers, waits, and believes nothing but its own part."""

    def __init__(self, port: int) -> None:
        self.client = ModbusTcpClient("127.0.0.1", port=port, retries=0)
        if not self.client.connect():
            raise OSError(f"nothing answers at port {port}")

    def trigger(self, part: int) -> None:
        """Ask for a part."""
        self.client.write_registers(0, [1, part])

    def release(self) -> None:
        """Take the trigger back: the answer was heard."""
        self.client.write_register(0, 0)

    def hears(self) -> Said:
        """Return what vlmad says now."""
        beat, state, part, verdict, fault = self.client.read_holding_registers(2, count=5).registers
        return Said(beat, State(state), part, Verdict(verdict), Fault(fault))

    def is_good(self, part: int) -> bool:
        """Return whether a part may go on: the one rule that a PLC needs beside the heartbeat."""
        said = self.hears()
        return (said.state, said.part, said.verdict) == (State.ANSWERED, part, Verdict.OK)

    def wait_for(self, state: State, part: int = 0, patience: float = PATIENCE) -> Said:
        """Return what vlmad says when it has come to a state."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            said = self.hears()
            if (said.state, said.part) == (state, part):
                return said
            time.sleep(0.005)
        raise TimeoutError(f"not {state.name} of part {part}, but {said}")

    def ask(self, part: int) -> Said:
        """Ask for a part as soon as vlmad is ready, wait for the answer, and release."""
        self.wait_for(State.READY)
        self.trigger(part)
        said = self.wait_for(State.ANSWERED, part)
        self.release()
        return said


def main() -> None:
    """Ask for one part after another, and print what is said of each."""
    with PlcServer(int(sys.argv[1]) if sys.argv[1:] else 0) as server:
        print(f"registers at port {server.port}; waiting for vlmad", flush=True)
        program = PlcProgram(server.port)
        for part in range(1, 65536):
            program.wait_for(State.READY, patience=float("inf"))
            said = program.ask(part)
            print(f"part {part}: {said.verdict.name}, fault {said.fault.name}", flush=True)


if __name__ == "__main__":
    main()
