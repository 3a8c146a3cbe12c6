"""The inventory: what each form means, what beats what, and the sentence for everything that is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core import inventory
from burnish.core.host_values import HOST_KEYS
from burnish.core.hosts import Busy, Host, Inventory, select
from burnish.core.jobs import HostName
from burnish.errors import InputError, UsageError
from burnish.store import yaml_file

HOSTS = Path(__file__).resolve().parent.parent.parent / "hosts"


def read(text: str) -> Inventory:
    return inventory.read(yaml_file.parse(dedent(text), "lab.yaml"))


def host(text: str, name: str = "gpu1") -> Host:
    return next(host for host in read(text).hosts if host.name == name)


def value(text: str) -> Host:
    """The host gpu1 with `text` as its only key and value."""
    return host(f"hosts:\n  gpu1: {{{text}}}\n")


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def names(hosts: tuple[Host, ...]) -> list[str]:
    return [str(host.name) for host in hosts]


def test_short_form_is_names_and_defaults() -> None:
    assert read("hosts: [gpu01, gpu02]").hosts == (Host(HostName("gpu01")), Host(HostName("gpu02")))


def test_shipped_examples_load_and_say_what_they_say() -> None:
    lab = inventory.read(yaml_file.load(str(HOSTS / "lab.yaml")))
    assert names(lab.hosts) == ["gpu01", "gpu02", "gpu03", "gpu04", "bigbox", "localhost", "hpc"]
    by_name = {host.name: host for host in lab.hosts}
    assert [by_name[HostName(name)].gpus for name in ("gpu01", "gpu02", "bigbox", "localhost")] == [
        "auto",
        ("0", "1"),
        ("0", "1", "3"),
        (),
    ]
    assert by_name[HostName("gpu02")].slots_per_gpu == 3
    assert by_name[HostName("hpc")].sbatch == (("partition", "gpu"), ("gres", "gpu:1"), ("time", "4:00:00"))
    (localhost,) = inventory.read(yaml_file.load(str(HOSTS / "localhost.yaml"))).hosts
    assert localhost.connection == "local" and localhost.gpus == ()


def test_example_names_every_key() -> None:
    """hosts/lab.yaml is where a person looks up what there is."""
    text = (HOSTS / "lab.yaml").read_text()
    assert [key for key in HOST_KEYS if f"{key}:" not in text] == []


def test_own_value_beats_group_beats_defaults() -> None:
    text = """
        defaults: {slots_per_gpu: 1, user: d, port: 1, env: {A: d, B: d, C: d}}
        groups:
          g:
            vars: {slots_per_gpu: 2, user: g, env: {B: g, C: g}}
            hosts: {gpu1: {slots_per_gpu: 3, env: {C: h}}, gpu2: }
        hosts: [gpu3]
        """
    found = read(text).hosts
    assert [(host.name, host.slots_per_gpu, host.user, host.port, dict(host.env)) for host in found] == [
        ("gpu3", 1, "d", 1, {"A": "d", "B": "d", "C": "d"}),
        ("gpu1", 3, "g", 1, {"A": "d", "B": "g", "C": "h"}),
        ("gpu2", 2, "g", 1, {"A": "d", "B": "g", "C": "g"}),
    ]


def test_host_in_two_groups_is_one_host() -> None:
    text = "groups:\n  a: {vars: {user: x}, hosts: [gpu1, gpu2]}\n  b: {vars: {port: 5}, hosts: {gpu1: {slots: 7}}}\n"
    found = read(text)
    assert names(found.hosts) == ["gpu1", "gpu2"]
    assert (found.hosts[0].groups, found.hosts[0].user, found.hosts[0].port, found.hosts[0].slots) == (
        ("a", "b"),
        "x",
        5,
        7,
    )
    assert found.groups == {"a": ("gpu1", "gpu2"), "b": ("gpu1",)}


def test_groups_that_disagree_are_asked_about_unless_the_host_settles_it() -> None:
    text = "groups:\n  a: {vars: {port: 1}, hosts: [gpu1]}\n  b: {vars: {port: 2}, hosts: [gpu1]}\n"
    assert problems(text) == [
        "lab.yaml:2:32: gpu1 is in the groups a and b, which disagree on port. Write port at the host."
    ]
    assert host(text + "hosts: {gpu1: {port: 3}}\n").port == 3


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gpu[01:04]", ["gpu01", "gpu02", "gpu03", "gpu04"]),
        ("gpu[8:11]", ["gpu8", "gpu9", "gpu10", "gpu11"]),
        ("gpu[098:101].lab", ["gpu098.lab", "gpu099.lab", "gpu100.lab", "gpu101.lab"]),
        ("r[1:2]n[1:2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("[1:2]", ["1", "2"]),
    ],
)
def test_ranges(written: str, meant: list[str]) -> None:
    assert (
        names(read(f"hosts:\n  {written}:\n" if not written.startswith("[") else f'hosts: ["{written}"]').hosts)
        == meant
    )


def test_a_name_beats_the_same_name_out_of_a_range() -> None:
    found = read("hosts:\n  gpu2: {port: 9}\n  gpu[1:3]: {port: 5, user: x}\n").hosts
    assert {host.name: (host.port, host.user) for host in found} == {
        "gpu2": (9, "x"),
        "gpu1": (5, "x"),
        "gpu3": (5, "x"),
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("auto", "auto"), ("all", "auto"), ("4", 4), ('"4"', 4), ("[0, 1, 3]", ("0", "1", "3")), ('"0,1"', ("0", "1")),
        ("[00]", ("0",)), ("none", ()), ("GPU-8c7ab", ("GPU-8c7ab",)), ("[GPU-8c7ab, MIG-12]", ("GPU-8c7ab", "MIG-12")),
    ],
)  # fmt: skip
def test_gpus(written: str, meant: object) -> None:
    assert value(f"gpus: {written}").gpus == meant


@pytest.mark.parametrize(
    "written", ["-1", "1.5", "true", "1000000000", "65", "~", "[]", "[0, 0]", "[-1]", "[x]", "{a: 1}", "some"]
)
def test_gpus_refused(written: str) -> None:
    (problem,) = problems(f"hosts:\n  gpu1: {{gpus: {written}}}\n")
    assert problem.startswith("lab.yaml:2:16: gpus")


def test_zero_gpus_is_asked_about() -> None:
    assert problems("hosts:\n  gpu1: {gpus: 0}\n") == [
        "lab.yaml:2:16: gpus is 0: no GPUs, or GPU number 0? Write [0] or none."
    ]


def test_busy() -> None:
    assert value("busy: share").busy is None
    assert value("busy: {quiet_for: 2m}").busy == Busy(500, 10, 120.0)
    assert value("slots: 1").busy == Busy(500, 10, 120.0)


def test_setup_is_lines_however_they_are_written() -> None:
    assert value("setup: [module load cuda, source x]").setup == "module load cuda\nsource x"
    assert host("hosts:\n  gpu1:\n    setup: |\n      a\n      b\n").setup == "a\nb\n"


def test_values_stay_as_typed() -> None:
    assert dict(value("env: {A: 010, B: on, C: 1e-4, D: 'x y'}").env) == {
        "A": "010",
        "B": "on",
        "C": "1e-4",
        "D": "x y",
    }


def test_host_keys_for_all_and_for_one() -> None:
    text = "host_keys: accept-new\nhosts: {gpu1: , gpu2: {host_keys: strict}}\n"
    assert [found.host_keys for found in read(text).hosts] == ["accept-new", "strict"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hosts:\n  gpu1: {on_failure: {oom: wait}}\n", "lab.yaml:2:28: oom is \"wait\"; expected retry or stop or hold."),
        ("hosts:\n  gpu1: {on_failure: {oon: hold}}\n", 'lab.yaml:2:23: unknown key "oon". Did you mean oom?'),
        ("hosts:\n  gpu1: {slots_per_gpus: 2}\n", 'lab.yaml:2:10: unknown key "slots_per_gpus". Did you mean slots_per_gpu?'),
        ("hosts:\n  gpu1: {prot: 2}\n", 'lab.yaml:2:10: unknown key "prot". Did you mean port?'),
        ("hots: [gpu1]\n", 'lab.yaml:1:1: unknown key "hots". Did you mean hosts?'),
        ("groups:\n  g: {var: {}, hosts: [a]}\n", 'lab.yaml:2:7: unknown key "var". Did you mean vars?'),
        ("hosts:\n  gpu1: {busy: {quiet: 3}}\n", 'lab.yaml:2:17: unknown key "quiet".'),
        ("hosts:\n  gpu1: {port: 70000}\n", 'lab.yaml:2:16: port is "70000"; expected a whole number from 1 to 65535.'),
        ("hosts:\n  gpu1: {port: ssh}\n", 'port is "ssh"; expected a whole number'),
        ("hosts:\n  gpu1: {slots: -1}\n", 'slots is "-1"; expected a whole number from 0 to 100000.'),
        ("hosts:\n  gpu1: {slots: true}\n", 'slots is "true"; expected a whole number'),
        ("hosts:\n  gpu1: {slots: 1000000000}\n", "expected a whole number from 0 to 100000."),
        ("hosts:\n  gpu1: {slots: ²}\n", "expected a whole number from 0 to 100000."),
        ("hosts:\n  gpu1: {python: 'python3; rm'}\n", 'python is "python3; rm"; expected a program\'s name or path'),
        ("hosts:\n  gpu1: {python: -c}\n", "expected a program's name or path"),
        ("hosts:\n  gpu1: {user: -oX}\n", "expected a login name"),
        ("hosts:\n  gpu1: {hostname: -oProxyCommand=x}\n", 'is no hostname'),
        ("hosts:\n  gpu1: {proxy_jump: '-oX'}\n", "expected none, or jump hosts"),
        ("hosts:\n  gpu1: {workdir: proj}\n", 'workdir is "proj"; expected a path that begins with / or ~.'),
        ("hosts:\n  gpu1: {connection: shs}\n", "expected ssh or local. Did you mean ssh?"),
        ("hosts:\n  gpu1: {busy: {quiet_for: soon}}\n", "expected a duration such as 90"),
        ("hosts:\n  gpu1: {env: [A]}\n", "env is a list; expected {NAME: value}."),
        ("hosts:\n  gpu1: {env: {1A: x}}\n", 'env holds the name "1A"'),
        ("hosts:\n  gpu1: {setup: }\n", "setup is nothing; expected shell lines."),
        ("hosts:\n  gpu1: yes\n", 'gpu1 is "yes"; expected a mapping'),
        ("hosts: gpu1\n", 'hosts is "gpu1"; expected a list of names, or a mapping.'),
        ("hosts: gpu[01:03]\n", 'Perhaps ["gpu[01:03]"].'),
        ("hosts: [gpu[01:03]]\n", 'a name with a range needs quotes: "gpu[01:04]".'),
        ("defaults: {gpus: none, slots: 0}\nhosts: [gpu1]\n", "gpu1 has no GPU (gpus: none) and no slot (slots: 0)"),
        ("hosts: [-oProxyCommand=x]\n", '"-oProxyCommand=x" is no host name'),
        ("hosts: [a b]\n", '"a b" is no host name'),
        ("hosts: [host;rm]\n", '"host;rm" is no host name'),
        ("hosts: ['user@gpu1']\n", "holds a user; write it as `user:`"),
        ("hosts: ['gpu1:22']\n", "holds a port; write it as `port:`"),
        ("hosts: ['']\n", '"" is no host name'),
        ("hosts: ['gpu[4:1]']\n", "the range [4:1] holds no host"),
        ("hosts: ['gpu[1:99999]']\n", "the range [1:99999] holds no host, or more than 10000."),
        ("hosts: ['a[1:999]b[1:999]']\n", "stands for more than 10000 hosts"),
        ("hosts: ['gpu[1-4]']\n", '"gpu[1-4]" is no range; expected such as gpu[01:04].'),
        ("hosts: [gpu1, gpu2, gpu1]\n", "lab.yaml:1:21: gpu1 is listed twice (first at lab.yaml:1:9)."),
        ("hosts: {gpu1: , a: {hostname: gpu1}}\n", "a and gpu1 are the same machine (gpu1); keep one of them."),
        ("hosts: [g]\ngroups: {g: {hosts: [a]}}\n", "g is a group and a host"),
        ("hosts: []\n", "the inventory names no host"),
        ("[gpu1]\n", "the inventory is a list; expected `hosts: [gpu01, gpu02]`."),
        ("", "the inventory is nothing"),
    ],
)  # fmt: skip
def test_problems(text: str, said: str) -> None:
    (problem,) = problems(text)
    assert said in problem
    assert re.match(r"lab\.yaml:\d+:\d+: ", problem)


@pytest.mark.parametrize(
    "text",
    [
        "hosts:\n  gpu1: {password: hunter2}\n",
        "hosts:\n  gpu1: {ssh_pass: hunter2}\n",
        "hosts:\n  gpu1: {ansible_ssh_pass: hunter2}\n",
        "defaults: {passphrase: hunter2}\nhosts: [gpu1]\n",
        "hosts:\n  gpu1: {user: 'alice:hunter2'}\n",
        "hosts: ['alice:hunter2@gpu1']\n",
        "hosts: ['ssh://alice:hunter2@gpu1']\n",
        "hosts:\n  gpu1: {proxy_jump: 'alice:hunter2@login'}\n",
        "hosts:\n  gpu1: {proxy_jump: 'ssh://alice:hunter2@login:22'}\n",
        "hosts:\n  gpu1: {hostname: 'alice:hunter2@login'}\n",
    ],
)
def test_passwords_are_refused_and_not_shown(text: str) -> None:
    (problem,) = problems(text)
    assert "passwords are not supported; use a key or ssh-agent" in problem and "hunter2" not in problem


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ('"HF_TOKEN=hf_abc"', 'env is "HF_TOKEN=***"; expected {NAME: value}.'),
        ("{HF_TOKEN=hf_abc: 1}", 'env holds the name "HF_TOKEN=***"; expected {NAME: value}.'),
        ('{HF_TOKEN: "hf_abc\\0"}', "env HF_TOKEN holds control characters (***)."),
        ("{HF_TOKEN: [hf_abc]}", "env HF_TOKEN is a list; expected a text."),
    ],
)
def test_mistakes_around_a_secret_do_not_show_it(env: str, said: str) -> None:
    (problem,) = problems(f"hosts:\n  gpu1: {{env: {env}}}\n")
    assert problem.endswith(said) and "hf_abc" not in problem


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    found = problems("defaults: {gpu: 1}\nhosts:\n  a b: {port: x}\n  gpu1: {gpus: 0, slots: x}\n")
    assert [problem.split(": ")[0] for problem in found] == [
        "lab.yaml:1:12",
        "lab.yaml:3:3",
        "lab.yaml:3:15",
        "lab.yaml:4:16",
        "lab.yaml:4:26",
    ]


def test_another_state_folder_makes_another_host_of_one_machine() -> None:
    assert names(read("hosts: {gpu1: , b: {hostname: gpu1, state_dir: /scratch/b}}\n").hosts) == ["gpu1", "b"]


def test_control_characters_are_shown_escaped() -> None:
    (problem,) = problems('hosts: ["a\\eb"]\n')
    assert "\\x1b" in problem and problem.isprintable()


def test_entry_is_json_and_finds_the_host_again() -> None:
    found = value(
        "hostname: 10.0.0.9, port: 2222, user: a, proxy_jump: l, python: /p, state_dir: /s, env: {KEY: secret}"
    )
    entry = json.loads(json.dumps(found.to_entry()))
    assert "secret" not in json.dumps(entry)
    again = Host.from_entry({**entry, "of_a_newer_burnish": 1})
    assert again.to_entry() == entry
    assert (again.name, again.hostname, again.port, again.state_dir) == ("gpu1", "10.0.0.9", 2222, "/s")


FLEET = read(
    "hosts: [login]\ngroups:\n  a100: {hosts: ['gpu[1:3]']}\n  fast: {hosts: {gpu3: , box: }}\n"
).hosts  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        ("gpu1", ["gpu1"]),
        ("a100", ["gpu1", "gpu2", "gpu3"]),
        ("gpu*", ["gpu1", "gpu2", "gpu3"]),
        ("box, login", ["login", "box"]),
        ("fast,a100", ["gpu1", "gpu2", "gpu3", "box"]),
        ("a100,!fast", ["gpu1", "gpu2"]),
        ("!gpu*", ["login", "box"]),
        ("all", ["login", "gpu1", "gpu2", "gpu3", "box"]),
        ("f?st", ["gpu3", "box"]),
    ],
)
def test_limit(limit: str, chosen: list[str]) -> None:
    assert names(select(FLEET, limit)) == chosen


@pytest.mark.parametrize(
    ("limit", "said"), [("gpu9", "Did you mean gpu"), ("x*", 'called "x*"'), (" , ", "names no host")]
)
def test_limit_that_names_nothing(limit: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(FLEET, limit)
    assert said in str(caught.value)


TREES = st.recursive(
    st.sampled_from(["gpu1", "0", "~", "none", "-x", "a@b", "[1:2]", "ssh", "''", "1e9", "\"\\u202e\""]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(
            st.sampled_from(["hosts", "defaults", "groups", "vars", "gpus", "env", "busy", "port", "g", "host_keys", "setup"]),
            inner,
            max_size=4,
        ).map(lambda items: "{" + ", ".join(f"{key}: {item}" for key, item in items.items()) + "}"),
    ),
)  # fmt: skip


@given(TREES)
def test_any_document_gives_hosts_or_problems_with_places(text: str) -> None:
    try:
        document = yaml_file.parse(text, "lab.yaml")
    except InputError:
        return
    try:
        found = inventory.read(document)
    except InputError as error:
        assert all(re.match(r"lab\.yaml:\d+:\d+$", problem.where) for problem in error.problems)
    else:
        assert found.hosts


def test_the_gpus_of_a_cluster_are_slurms_to_give() -> None:
    """Only how many jobs it is given at a time is ours to say, whatever the defaults say of hosts."""
    text = "defaults: {gpus: [0, 1]}\nhosts: {hpc: {engine: slurm}, hpc2: {engine: slurm, slots: 7}, gpu1: }"
    found = {str(host.name): (host.gpus, host.slots) for host in read(text).hosts}
    assert found == {"hpc": ((), inventory.SLURM_SLOTS), "hpc2": ((), 7), "gpu1": (("0", "1"), None)}


def test_what_burnish_says_to_sbatch_itself_is_refused() -> None:
    text = "hosts: {hpc: {engine: slurm, sbatch: {partition: gpu, array: 0-3, output: x}}}"
    assert any("sbatch holds array, output, which burnish sets by itself." in problem for problem in problems(text))
