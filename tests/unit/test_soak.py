"""A soak's samples: a process that grew is told from one that filled up while it got warm, and all are drawn."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.soak import Samples, picture, table


def sampled() -> Samples:
    samples = Samples()
    for n in range(300):
        samples.add(2.0 * n, {"warms up": 50.0 + min(n, 60), "leaks <a lot>": 50.0 + n / 10})
    return samples


def test_what_fills_up_while_it_gets_warm_has_not_grown() -> None:
    assert sampled().growth("warms up") == 0


def test_what_leaks_has_grown_by_what_it_leaked_since_it_was_warm() -> None:
    assert round(sampled().growth("leaks <a lot>"), 1) == 17.0
    assert "| leaks <a lot> | 61.5 | 78.5 | +17.0 |" in table(sampled(), 10, 600)


def test_every_process_has_its_curve_and_its_name() -> None:
    drawn = ElementTree.fromstring(picture(sampled()))
    tag = "{http://www.w3.org/2000/svg}"
    assert [len(line.attrib["points"].split()) for line in drawn.iter(f"{tag}polyline")] == [300, 300]
    assert "leaks <a lot> 80" in [text.text for text in drawn.iter(f"{tag}text")]
