"""The report of `ctoffload capabilities` for people: a table per port, then the plans."""

from __future__ import annotations

from typing import Any

import click

from ctoffload_dpdk.cli.output import printable

TITLES = {"port": "the port", "ingress": "rules for what it receives", "transfer": "rules in the NIC's switch"}
ANSWERS = {True: "yes", False: "no", None: "?"}
COLOURS = {True: "green", False: "red", None: "yellow"}


def text_of(report: dict[str, Any]) -> str:
    """The whole report. Colours are taken out again where the output is no terminal."""
    blocks = [port_text(port) for port in report["ports"]]
    blocks += [pair_text(pair) for pair in report["pairs"]]
    if report["left"]:
        blocks.append(["left in the NIC:", *(f"  {printable(why)}" for why in report["left"])])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def port_text(port: dict[str, Any]) -> list[str]:
    switch = "" if port["switch_domain"] is None else f", switch {port['switch_domain']}"
    owner = "" if port["owner"] == port["id"] else f" (its rules are made on port {port['owner']})"
    lines = [f"{printable(port['name'])}: port {port['id']}, driver {port['driver']}{switch}{owner}"]
    if port["set_aside"]:
        sizes = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in port["set_aside"].items())
        lines.append(f"  set aside: {sizes}")
    lines += [f"  note: {printable(note)}" for note in port["notes"]]
    for domain, title in TITLES.items():
        lines += domain_text(title, [found for found in port["capabilities"] if found["domain"] == domain])
    return lines


def domain_text(title: str, findings: list[dict[str, Any]]) -> list[str]:
    """One line per capability; one for all where there is the same to say of each."""
    reasons = {found["evidence"].removeprefix("not asked, no rule is taken: ") for found in findings}
    if len(reasons) == 1 and not any(found["has"] for found in findings):
        return [f"  {title}: {click.style('none', fg='red')}, {printable(reasons.pop())}"]
    lines = [f"  {title}"]
    for found in findings:
        answer = click.style(f"{ANSWERS[found['has']]:3}", fg=COLOURS[found["has"]])
        lines.append(f"    {answer} {found['name']:17} {printable(found['evidence'])}")
    return lines


def pair_text(pair: dict[str, Any]) -> list[str]:
    """The plans of two ports, those that are alike together."""
    first, second = pair["ports"]
    title = f"{first} and {second} ({pair['relation']})" if first != second else f"{first}, back by the same port"
    lines = [f"plans: {printable(title)}"]
    alike: dict[str, list[str]] = {}
    for plan in pair["plans"]:
        kind = f"{plan['proto']} {plan['family']}{' nat' if plan['nat'] else ''}"
        alike.setdefault(plan["text"], []).append(kind)
    for text, kinds in alike.items():
        lines.append(f"  {', '.join(kinds)}")
        lines += [f"    {printable(line)}" for line in text.splitlines()]
    return lines
