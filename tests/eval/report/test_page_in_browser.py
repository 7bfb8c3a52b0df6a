"""The report page as a browser shows it: one run for several pages, each in a frame of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape

import pytest

from eval.report.page import page
from eval.table.table import compare

NAMES = ("ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")


WATCH = (
    "<script>window.problems = [];"
    "for (const kind of ['error', 'unhandledrejection', 'securitypolicyviolation'])"
    " addEventListener(kind, e => problems.push(kind + ': ' + (e.message || e.blockedURI)), true);"
    "</script>"
)
OUTSIDE = """
const outside = page => {
  const width = page.documentElement.clientWidth, found = [];
  if (page.documentElement.scrollWidth > width) found.push('the page itself');
  for (const e of page.body.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    if (box.width && (box.right > width + 0.5 || box.left < -0.5) && !e.closest('.scroll, pre'))
      found.push(e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40));
  }
  return found;
};
"""


def opened(tmp_path, pages, look, *options):
    """What the function ``look`` (JavaScript, of a frame's window) gives for each page.

    Args:
        pages: name to text and width in pixels.
        look: JavaScript.
        options: of Chromium.
    """
    frames = "".join(
        f'<iframe name="{name}" style="width:{width}px;height:800px;border:0" '
        f'srcdoc="{escape(text.replace("<head>", "<head>" + WATCH))}"></iframe>'
        for name, (text, width) in pages.items()
    )
    file = tmp_path / "frames.html"
    file.write_text(
        f"<!doctype html><meta charset=utf-8><body>{frames}<pre id=found></pre><script>{OUTSIDE}"
        "onload = () => { const found = {};"
        " for (const frame of document.querySelectorAll('iframe'))"
        f" found[frame.name] = ({look})(frame.contentWindow);"
        " document.body.textContent = '[[' + JSON.stringify(found) + ']]'; };</script>"
    )
    arguments = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", "--window-size=1500,900", *options,
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run([CHROMIUM, *arguments], capture_output=True, text=True, timeout=120)
    found = re.search(r"\[\[(.*)\]\]", unescape(done.stdout), re.DOTALL)
    assert found, f"the page's probe did not run: {done.stdout[-500:]} {done.stderr[-500:]}"
    assert "CONSOLE" not in done.stderr, done.stderr
    return json.loads(found[1])


def test_nothing_fails_or_overflows_at_any_width(
    results, samples, pairs, make_result, tmp_path, sure
):
    eight = [make_result(f"a_model_with_a_rather_long_name_{i}", 3.0 + i) for i in range(8)]
    eight = [
        sure(row, 2 + i % 3, 2 * i + 1, detail={"dimensions": 2048.0})
        for i, row in enumerate(eight)
    ]
    bare = [make_result("folder", 3.0)]
    values = {"fid_small_360": replace(bare[0].values["fid_small_360"], floor=None)}
    bare = [replace(bare[0], values=values)]
    other = replace(results[1], budget=replace(results[1].budget, seed=7))
    whole = page(compare(results), results, samples, "Title", "zoo compare", pairs)
    cases = {
        "four": whole,
        "eight": page(compare(eight), eight, {}, "t", "zoo compare " + "x" * 300),
        "one": page(compare(bare), bare, {}, "t", "c"),
        "forced": page(compare([results[0], other], force=True), [results[0], other], {}, "t", "c"),
    }
    pages = {f"{n}_{width}": (text, width) for n, text in cases.items() for width in (400, 1400)}
    look = (
        "w => ({problems: w.problems, outside: outside(w.document), width: w.innerWidth, "
        "images: [...w.document.images].map(i => i.naturalWidth), "
        "loaded: w.performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(name => !name.startsWith('data:'))})"
    )
    found = opened(tmp_path, pages, look)
    assert set(found) == set(pages)
    for name, seen in found.items():
        assert seen["width"] == pages[name][1]
        assert seen["problems"] == [], name
        assert seen["outside"] == [], name
        assert seen["loaded"] == [], name
    assert len(found["four_400"]["images"]) == 9 and all(found["four_400"]["images"])


def test_the_probe_sees_what_it_is_there_for(results, tmp_path):
    text = page(compare(results), results, {}, "t", "c")
    broken = text.replace(
        "</main>", '<p style="width:2000px">wide</p><img src="http://localhost:9/x.png"></main>'
    )
    look = "w => ({problems: w.problems, outside: outside(w.document)})"
    with pytest.raises(AssertionError, match="Content Security Policy"):
        opened(tmp_path, {"broken": (broken, 1400)}, look)
    wide = text.replace("</main>", '<p style="width:2000px">wide</p></main>')
    seen = opened(tmp_path, {"wide": (wide, 1400)}, look)["wide"]
    assert "the page itself" in seen["outside"] and len(seen["outside"]) > 1


def test_every_column_sorts_by_value_and_says_so(results, tmp_path):
    absent = replace(
        results[2], values={k: v for k, v in results[2].values.items() if "c" not in k}
    )
    rows = [*results[:2], absent, results[3]]
    text = page(compare(rows), rows, {}, "t", "c")
    look = """w => {
      const table = w.document.querySelector('table.sortable');
      const heads = [...table.tHead.rows[0].cells];
      const order = () => [...table.tBodies[0].rows].map(r => r.cells[0].dataset.key);
      const click = start => {
        const head = heads.find(h => h.textContent.startsWith(start));
        head.querySelector('button').click();
        return [head.getAttribute('aria-sort'), order(),
                heads.filter(h => h.getAttribute('aria-sort') !== 'none').length];
      };
      return {before: heads.map(h => h.getAttribute('aria-sort')),
              fid: [click('FID\\u2011360'), click('FID\\u2011360')],
              clip: [click('CLIP'), click('CLIP')], model: click('model'),
              reached: [...w.document.querySelectorAll('th button')].every(b => b.tabIndex === 0)};
    }"""
    seen = opened(tmp_path, {"table": (text, 1400)}, look)["table"]
    by_fid = ["guided_latent_diffusion", "ddpm", "improved_ddpm", "latent_diffusion"]
    assert set(seen["before"]) == {"none"}
    assert seen["fid"] == [["ascending", by_fid, 1], ["descending", by_fid[::-1], 1]]  # 9.5 < 10.25
    assert [step[0] for step in seen["clip"]] == ["descending", "ascending"]  # the best one first
    assert all(step[1][-1] == "latent_diffusion" for step in seen["clip"])  # not measured: last
    assert seen["model"][1] == sorted(NAMES)
    assert seen["reached"]


def test_intervals_are_drawn_at_their_numbers(results, tmp_path):
    text = page(compare(results), results, {}, "t", "c")
    look = """w => {
      const card = w.document.querySelector('#verdicts article');
      const middle = e => { const b = e.getBoundingClientRect(); return b.left + b.width / 2; };
      return {points: [...card.querySelectorAll('.point')].map(middle),
              spans: [...card.querySelectorAll('.span')].map(middle),
              widths: [...card.querySelectorAll('.span')].map(e => e.getBoundingClientRect().width),
              ticks: [...card.querySelectorAll('text')].filter(e => !isNaN(e.textContent))
                .map(e => [+e.textContent, middle(e)])};
    }"""
    seen = opened(tmp_path, {"intervals": (text, 1400)}, look)["intervals"]
    (low, at_low), (high, at_high) = seen["ticks"][0], seen["ticks"][-1]
    per_unit = (at_high - at_low) / (high - low)
    for point, span, number in zip(seen["points"], seen["spans"], (2, 2, 3, 4), strict=True):
        assert point == pytest.approx(at_low + (number - low) * per_unit, abs=1)
        assert span == pytest.approx(point, abs=1)
    assert seen["widths"] == pytest.approx([0.04 * per_unit] * 4, abs=1)


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_in_both_schemes(results, tmp_path, dark):
    text = page(compare(results), results, {}, "t", "c")
    pairs = {
        "ink": "paper",
        "quiet": "card",
        "accent": "card",
        "best-ink": "best",
        "ceiling": "card",
    }
    pairs |= {"ink ": "warn", "ink  ": "alarm"} | {f"series-{i}": "card" for i in range(8)}
    look = f"""w => {{
      const style = w.getComputedStyle(w.document.documentElement);
      const colour = name => style.getPropertyValue('--' + name.trim()).trim();
      return {json.dumps(list(pairs.items()))}.map(([a, b]) => [a, colour(a), colour(b)]);
    }}"""
    options = ["--blink-settings=preferredColorScheme=0"] if dark else []
    for name, above, below in opened(tmp_path, {"page": (text, 1400)}, look, *options)["page"]:
        least = 3 if name.startswith("series") else 4.5  # WCAG 2.2: marks, text
        assert contrast(above, below) >= least, name
        assert (luminance(below) < 0.2) == dark, name


def luminance(colour):
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_table_wider_than_its_box_has_a_hint(results, tmp_path):
    text = page(compare(results), results, {}, "t", "c")
    look = """w => [...w.document.querySelectorAll('section > .scroll')].map(box => [
      box.scrollWidth > box.clientWidth + 1,
      w.getComputedStyle(box.nextElementSibling).display === 'block'])"""
    pages = {"phone": (text, 390), "screen": (text, 1400)}
    seen = opened(tmp_path, pages, look)
    assert seen["phone"][0] == [True, True]
    assert all(wide == hinted for one in seen.values() for wide, hinted in one)
    assert [False, False] in seen["screen"]
