"""The steps of a task on their way before its report."""

from covey.model.phases import Phases, phased, stamped, unphased, unstamped

STEPS = Phases(1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, "größter")


def test_phases_and_a_report_come_back_as_they_were() -> None:
    assert unphased(phased(b"Vreport", STEPS)) == (b"Vreport", STEPS)
    assert unphased(phased(b"", Phases())) == (b"", Phases())


def test_a_report_without_phases_stays_as_it_is() -> None:
    for report in (b"", b"Q", b"Qshort", b"Vreport", stamped(b"V", (1, 2, 3, 4, 5))):
        assert unphased(report) == (report, None)


def test_stamps_of_an_agent_are_no_phases_of_a_scheduler() -> None:
    assert unstamped(phased(b"V", STEPS)) == (phased(b"V", STEPS), None)
