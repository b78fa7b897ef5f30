"""Faults that are switched on and off while the simulator runs."""

import pytest

from tests.contract.simulator.raw import ask, chat, on_both_loops
from trunkline.simulator.app import Simulator, SimulatorThread
from trunkline.simulator.faults import SpecError


@on_both_loops
async def test_a_fault_is_switched_on_and_off(sim: Simulator) -> None:
    assert (await ask(sim, chat())).status == 200
    sim.set_fault("status=503")
    asked = [chat(), chat("m!status=500"), chat(headers="x-sim-fault: status=500\r\n")]
    assert [(await ask(sim, request)).status for request in asked] == [503, 503, 503]
    assert (sim.log[-1].fault, sim.log[-1].applied) == ("status=503", True)
    sim.set_fault(None)
    assert [(await ask(sim, request)).status for request in asked] == [200, 500, 500]


@on_both_loops
async def test_a_fault_may_be_for_one_name(sim: Simulator) -> None:
    sim.set_fault("status=503", model="m!words=4")
    sim.set_fault("status=502")
    names = ("m!words=4", "m!words=5", "m")
    assert [(await ask(sim, chat(name))).status for name in names] == [503, 502, 502]
    sim.set_fault(None)
    assert [(await ask(sim, chat(name))).status for name in names] == [503, 200, 200]
    sim.set_fault("", model="m!words=4")  # healthy
    assert (await ask(sim, chat("m!words=4"))).status == 200
    sim.set_fault(None, model="m!words=4")
    assert len((await ask(sim, chat("m!words=4"))).json["choices"][0]["message"]["content"].split()) == 4


@on_both_loops
async def test_what_is_switched_on_anew_counts_anew(sim: Simulator) -> None:
    for _ in range(2):
        sim.set_fault("status=503;times=1")
        assert [(await ask(sim, chat())).status for _ in range(3)] == [503, 200, 200]


@on_both_loops
async def test_a_wrong_spec_changes_nothing(sim: Simulator) -> None:
    sim.set_fault("status=503")
    with pytest.raises(SpecError):
        sim.set_fault("bogus")
    assert (await ask(sim, chat())).status == 503


def test_faults_are_switched_from_other_threads() -> None:
    with SimulatorThread() as sim:
        sim.set_fault("status=503", model="m")
        with pytest.raises(SpecError):
            sim.set_fault("bogus")
        sim.set_fault(None, model="m")
        assert sim.log == []
