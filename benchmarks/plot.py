"""A bar for each row's ratio on a logarithmic axis, and a mark at its target: an SVG without any library."""

import html
import math

from report import in_order, missed, target_of

LEFT, WIDTH, ROW, TOP = 480, 520, 17, 46
MET, MISSED, INK, GRID = "#3b7a57", "#c0562f", "#222", "#ddd"


def svg(tables):
    """`tables` is a list of `(title, rows)`."""
    rows = [(title, name, row) for title, table in tables for name, row in in_order(table) if "ratio" in row]
    values = [v for _, name, row in rows for v in (row["ratio"], target_of(name))] + [0.5, 2.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    place = lambda v: LEFT + (math.log10(v) - low) / (high - low) * WIDTH
    titles = [title for title, _ in tables if any(title == t for t, _, _ in rows)]
    bottom = TOP + ROW * (len(rows) + len(titles)) + 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 60} {bottom + 10}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="16">best peer\'s time by ours (logarithmic); black marks are targets</text>',
    ]
    for decade in range(low, high + 1):
        for part in (1, 2, 5) if decade < high else (1,):
            x, v = place(part * 10.0**decade), part * 10.0**decade
            # 1 is where both are equally fast.
            colour = "#888" if v == 1 else GRID
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" y2="{bottom}" stroke="{colour}"/>')
            out.append(f'<text x="{x:.1f}" y="{TOP - 14}" text-anchor="middle" fill="#666">{v:g}</text>')
    y, last = TOP, None
    for title, name, row in rows:
        if title != last:
            out.append(f'<text x="8" y="{y + 11}" font-weight="bold">{html.escape(title)}</text>')
            y, last = y + ROW, title
        a, b = sorted((place(1), place(row["ratio"])))
        target = place(target_of(name))
        colour = MISSED if missed(name, row) else MET
        out.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{html.escape(name)}</text>')
        out.append(f'<rect x="{a:.1f}" y="{y + 2}" width="{max(b - a, 1):.1f}" height="{ROW - 5}" fill="{colour}"/>')
        out.append(f'<line x1="{target:.1f}" x2="{target:.1f}" y1="{y}" y2="{y + ROW - 1}" stroke="black" stroke-width="2"/>')
        # Beside the bar's far end; a bar to the left of 1 has its number to the right of 1.
        out.append(f'<text x="{max(place(1), place(row["ratio"]), target) + 5:.1f}" y="{y + 11}">{row["ratio"]:.2f}</text>')
        y += ROW
    return "\n".join([*out, "</svg>", ""])
