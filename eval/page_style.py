"""How the page looks, and the few lines that sort its table."""

from __future__ import annotations

STYLE = """
:root {
  --paper: #fbfbfa; --card: #ffffff; --ink: #1b1c1f; --quiet: #62656d; --line: #e3e4e8;
  --accent: #2458c5; --best: #e4eefc; --best-ink: #173f94; --warn: #fff6dd; --alarm: #fdeaea;
  --series-0: #2a6fd6; --series-1: #d9661f; --series-2: #14976b; --series-3: #7a4fc4;
  --series-4: #c23b6f; --series-5: #93781a; --series-6: #2391a8; --series-7: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #131417; --card: #1b1d21; --ink: #e9eaee; --quiet: #9da1ab; --line: #2f3239;
    --accent: #8ab1ff; --best: #1d3154; --best-ink: #b9d1ff; --warn: #38301a; --alarm: #421f21;
    --series-0: #6ea5ff; --series-1: #f29a5c; --series-2: #4bc99b; --series-3: #b295f2;
    --series-4: #ee83ab; --series-5: #cdb25a; --series-6: #63c6da; --series-7: #a3a9b5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1480px; margin: 0 auto; padding: 40px 28px 80px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 14px; }
h2 { font-size: 19px; letter-spacing: -0.01em; margin: 0 0 6px; }
section { margin-top: 44px; }
.quiet { color: var(--quiet); margin: 8px 0 14px; max-width: 88ch; }
a { color: var(--accent); }
code {
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--card); border: 1px solid var(--line); border-radius: 5px; padding: 2px 6px;
}
ul.facts { display: flex; flex-wrap: wrap; gap: 8px; list-style: none; padding: 0; margin: 0; }
ul.facts li {
  background: var(--card); border: 1px solid var(--line); border-radius: 999px;
  padding: 3px 12px; font-size: 13px; color: var(--quiet);
}
.box { border-radius: 10px; padding: 14px 18px; margin-top: 20px; }
.box ul { margin: 6px 0 0; padding-left: 20px; }
.warn { background: var(--warn); } .alarm { background: var(--alarm); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 11px 10px; font-size: 13.5px; }
tbody tr { background: var(--card); }
thead th { vertical-align: bottom; border-bottom: 1px solid var(--line); font-size: 12px;
  line-height: 1.35; font-weight: 600; color: var(--quiet); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody th { font-weight: 650; }
tbody th:first-child { position: sticky; left: 0; background: inherit; }
.sortable tbody th { min-width: 150px; max-width: 190px; padding-left: 30px; text-indent: -18px; }
.sortable thead th:first-child { padding-left: 30px; }
.number { text-align: right; }
td.number { white-space: nowrap; }
td small, th small, .bar-value small {
  display: block; color: var(--quiet); font-size: 11.5px; font-weight: 400; line-height: 1.4;
}
td small { white-space: normal; }
th button {
  all: unset; cursor: pointer; text-align: inherit; color: inherit;
}
th button:hover { color: var(--ink); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
th[aria-sort] button { color: var(--accent); }
th[aria-sort=ascending] button::after { content: " ▴"; }
th[aria-sort=descending] button::after { content: " ▾"; }
b.best { background: var(--best); color: var(--best-ink); border-radius: 6px; padding: 2px 7px;
  font-weight: 650; }
td b.best { margin-right: -7px; }
.sortable tr > :last-child { padding-right: 18px; }
tr.differs { background: var(--alarm); }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 9px;
  background: currentColor; }
tbody th small { text-indent: 0; }
.grids { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 22px; }
figure { margin: 0; }
figure img { width: 100%; display: block; image-rendering: pixelated; border-radius: 8px; }
figcaption { font-weight: 600; font-size: 14px; margin-top: 8px; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: 12px 16px;
  align-items: center; max-width: 900px; }
.bar { position: relative; height: 18px; background: var(--line); border-radius: 4px; }
.fill { height: 100%; border-radius: 4px; background: currentColor; min-width: 2px; }
.floor { position: absolute; top: -6px; bottom: -6px; width: 2px; background: var(--ink); }
.bar-name { font-weight: 600; font-size: 14px; }
.bar-value { font-variant-numeric: tabular-nums; text-align: right; font-weight: 600; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 14px; max-width: 980px; }
.chart:empty { display: none; }
svg { width: 100%; height: auto; display: block; font-family: inherit; }
svg .grid { stroke: var(--line); }
svg .tick { fill: var(--quiet); font-size: 12px; text-anchor: end; }
svg .tick.middle { text-anchor: middle; }
svg polyline { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
svg .label { fill: currentColor; font-size: 12.5px; font-weight: 600; }
.s0 { color: var(--series-0); } .s1 { color: var(--series-1); } .s2 { color: var(--series-2); }
.s3 { color: var(--series-3); } .s4 { color: var(--series-4); } .s5 { color: var(--series-5); }
.s6 { color: var(--series-6); } .s7 { color: var(--series-7); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 22px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px 22px; min-width: 0; }
dl { margin: 0; }
.facts-list { display: grid; grid-template-columns: minmax(120px, 34%) 1fr; gap: 6px 16px;
  font-size: 13.5px; }
.facts-list dt { color: var(--quiet); }
.facts-list dd { margin: 0; overflow-wrap: anywhere; }
.definitions { columns: 2 380px; column-gap: 40px; }
.definitions dt { font-weight: 650; break-after: avoid; }
.definitions dd { margin: 0 0 14px; color: var(--quiet); break-inside: avoid; }
details { border: 1px solid var(--line); border-radius: 10px; background: var(--card);
  margin-top: 8px; }
summary { cursor: pointer; padding: 10px 16px; font-weight: 600; }
pre { margin: 0; padding: 0 16px 16px; overflow-x: auto;
  font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media print { th button::after { content: "" } details { display: none } }
"""

SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => head.querySelector('button').addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    heads.forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const number = head.classList.contains('number');
    const key = row => row.cells[index].dataset.key;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === '' || y === '') return (x === '') - (y === '');
      const order = number ? Number(x) - Number(y) : x.localeCompare(y);
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }));
}
"""
