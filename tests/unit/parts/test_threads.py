"""How many threads a pass takes, and how they wait."""

import os
import subprocess
import sys

import pytest
import torch

from dreamopt.network import load_net
from dreamopt.parts.threads import SPINS, Sharing, Usage, busy_ticks, of_a_pass, usage
from dreamopt.problem import Problem


class Machine:
    """Cores whose use a test says."""

    def __init__(self) -> None:
        self.at = self.all = self.own = 0.0

    def passes(self, seconds: float, others: float, own: float) -> None:
        self.at += seconds
        self.own += seconds * own
        self.all += seconds * (own + others)

    def sharing(self, whole: int, cores: int) -> Sharing:
        return Sharing(whole, cores, lambda: Usage(self.at, self.all, self.own), lambda: self.at)


def test_two_cores_beside_one_program_and_alone_again() -> None:
    machine = Machine()
    sharing = machine.sharing(2, 2)
    assert sharing.threads() == 2
    machine.passes(0.1, others=1, own=1)
    assert sharing.threads() == 2  # too soon to tell
    machine.passes(0.2, others=0.67, own=1.33)  # one program and two threads take what the scheduler gives them
    assert sharing.threads() == 1
    machine.passes(0.3, others=1, own=1)
    assert sharing.threads() == 1
    machine.passes(0.3, others=0.45, own=1)  # not free enough for one more
    assert sharing.threads() == 1
    machine.passes(0.3, others=0.2, own=1)
    assert sharing.threads() == 2
    machine.passes(0.3, others=0.45, own=1.5)  # and not so busy as to give it up
    assert sharing.threads() == 2


@pytest.mark.parametrize(("others", "threads"), [(0, 16), (1, 15), (3.4, 13), (15, 1), (15.9, 1), (20, 1)])
def test_many_cores(others: float, threads: int) -> None:
    machine = Machine()
    sharing = machine.sharing(16, 16)
    machine.passes(1, others, own=2)
    assert sharing.threads() == threads


def test_fewer_threads_than_cores_are_not_raised_above() -> None:
    machine = Machine()
    sharing = machine.sharing(8, 16)
    machine.passes(1, 6, own=8)
    assert sharing.threads() == 8
    machine.passes(1, 12, own=4)
    assert sharing.threads() == 4


def test_what_others_took_while_this_process_waited_says_nothing() -> None:
    machine = Machine()
    sharing = machine.sharing(2, 2)
    machine.passes(3, others=2, own=0.1)
    assert sharing.threads() == 2
    machine.passes(0.3, others=0, own=2)
    assert sharing.threads() == 2
    machine.passes(3, others=1, own=1)  # one long pass
    assert sharing.threads() == 1
    machine.passes(3, others=0, own=0.1)
    assert sharing.threads() == 1
    machine.passes(0.3, others=0, own=1)
    assert sharing.threads() == 2


def test_where_the_system_says_nothing_all_are_taken() -> None:
    sharing = Sharing(4, 4, lambda: None, iter(range(100)).__next__)
    assert [sharing.threads() for _ in range(3)] == [4, 4, 4]


STAT = """cpu  1 1 1 1 1 1 1 1 1 1
cpu0 100 20 3 4000 50 6 7 8 90 10
cpu1 1000 0 0 0 0 0 0 0 0 0

cpu12 5 5 5 5 5 5 5
intr 5 6
"""


@pytest.mark.parametrize(
    ("cores", "niced", "ticks"),
    [
        # idle, waiting for a disk, and guests, which are in user, do not count; stolen time does
        ({0}, False, 100 + 3 + 6 + 7 + 8),
        ({0}, True, 100 + 20 + 3 + 6 + 7 + 8),
        ({0, 1}, False, 1124),
        ({12}, False, 20),
        ({3}, True, 0),
    ],
)
def test_ticks_of_the_cores_that_may_be_used(cores: set[int], niced: bool, ticks: int) -> None:
    assert busy_ticks(STAT, cores, niced=niced) == ticks


@pytest.mark.skipif(usage() is None, reason="no /proc/stat here")
@pytest.mark.parametrize("policy", ["SCHED_FIFO", "SCHED_RR"])
def test_a_real_time_process_takes_all_threads(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda process: getattr(os, policy))
    assert usage() is None


def test_a_step_has_the_same_bits_on_one_thread_and_on_two() -> None:
    problem = Problem(load_net(), "scores:0", transforms=["jitter(8)"], batch=3)
    params, before, found = problem.start(3), torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(problem.evaluate(params))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].gradient, found[1].gradient)
    assert torch.equal(found[0].values, found[1].values)
    assert found[0].gradient.abs().max() > 0


@pytest.mark.skipif(usage() is None, reason="no /proc/stat here")
def test_own_work_is_counted_as_all_work() -> None:
    before = usage()
    while os.times().user + os.times().system < before.own + 0.3:
        sum(range(10000))
    after = usage()
    assert after.own - before.own >= 0.29
    assert after.all - before.all >= 0.2  # in ticks of a hundredth of a second


def child(code: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    return subprocess.run([sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, check=True).stdout.strip()


SAY = "import os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("code", "environment", "spins"),
    [
        ("import dreamopt", {}, str(SPINS)),
        ("import dreamopt", {"GOMP_SPINCOUNT": "77"}, "77"),
        ("import dreamopt", {"OMP_WAIT_POLICY": "active"}, "None"),
        ("import torch, dreamopt", {}, "None"),
    ],
)
def test_the_users_own_word_comes_first(code: str, environment: dict[str, str], spins: str) -> None:
    assert child(f"{code}; {SAY}", **environment) == spins


PASS = """
import dreamopt, torch
from dreamopt.parts import threads
threads.usage.__globals__["cores"] = lambda: 2
{before}
class Busy(threads.Sharing):
    def threads(self): return 1
threads.Sharing = Busy
with threads.of_a_pass(): inside = torch.get_num_threads()
print(inside, torch.get_num_threads())
"""


@pytest.mark.parametrize(
    ("before", "environment", "threads"),
    [
        ("torch.set_num_threads(2)", {}, "1 2"),  # as many as there are cores
        ("torch.set_num_threads(2)", {"OMP_NUM_THREADS": "2"}, "2 2"),
        ("torch.set_num_threads(5)", {}, "5 5"),
        ("threads.take(2)", {}, "2 2"),
        ("torch.set_num_threads(1)", {}, "1 1"),
    ],
)
def test_a_number_that_somebody_chose_is_kept(before: str, environment: dict[str, str], threads: str) -> None:
    assert child(PASS.format(before=before), **environment) == threads


def test_an_error_inside_gives_the_threads_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), of_a_pass():
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_the_commands_option() -> None:
    code = "from dreamopt.cli import main; main(['--threads', '1', 'inspect', '--json'], standalone_mode=False); import torch, sys; print(torch.get_num_threads(), file=sys.stderr)"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    run = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True)
    assert run.stderr.strip().splitlines()[-1] == "1"
