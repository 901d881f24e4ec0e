"""How the HTML report looks on a screen and on paper. Nothing here is fetched from anywhere."""

CSS = """
:root { --ink: #1f2328; --faint: #5c6570; --rule: #dfe3e8; --wash: #f5f7f9; --accent: #0b5c99; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.2rem 1.4rem 4rem; }
h1 { font-size: 1.85rem; line-height: 1.2; margin: 0 0 .2rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.02rem; margin: 1.7rem 0 .35rem; }
p, ul { margin: .5rem 0 .8rem; max-width: 46rem; }
ul { padding-left: 1.2rem; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 2px; }
.lead { color: var(--faint); margin-top: 0; }
.answer { background: var(--wash); border-left: 4px solid var(--accent); padding: .9rem 1.2rem .6rem;
  margin: 1.2rem 0; }
.answer p { margin: .2rem 0 .5rem; max-width: none; }
.answer > p:first-child { font-size: 1.14rem; font-weight: 600; line-height: 1.45; }
nav { font-size: .9rem; margin: 1rem 0; }
nav ol { display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; list-style: none; padding: 0; margin: 0; }
.note { background: #fff8e6; border-left: 4px solid #e0b000; padding: .5rem .9rem; margin: .8rem 0; }
.note ul, .note p { margin: .1rem 0; }
.scroll { overflow-x: auto; margin: .7rem 0 1.1rem; }
table { border-collapse: collapse; font-size: .85rem; line-height: 1.35; min-width: 50%;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0 0 .35rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  min-width: 2.5rem; overflow-wrap: break-word; }
thead th { border-bottom: 1.5px solid var(--ink); font-weight: 600; vertical-align: bottom; }
tbody tr + tr td { border-top: 1px solid var(--rule); }
th.n, td.n { text-align: right; white-space: nowrap; }
figure { margin: 1.1rem 0 1.4rem; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--faint); font-size: .85rem; max-width: 46rem; margin-top: .25rem; }
code { font: .84em ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.verdict { font-weight: 600; white-space: nowrap; }
.holds { color: #00704f; }
.mixed { color: #8a5a00; } .fails { color: #b3261e; } .untested { color: var(--faint); }
.swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .45em; }
details { margin: .7rem 0; } summary { cursor: pointer; color: var(--accent); }
@media print {
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  h2 { break-after: avoid; } figure, tr, .answer, .note { break-inside: avoid; }
  nav { display: none; } a { color: inherit; text-decoration: none; } .scroll { overflow: visible; }
}
"""
