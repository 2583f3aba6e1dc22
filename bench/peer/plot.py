"""Bar charts as SVG, with nothing but the standard library."""

from xml.sax.saxutils import escape

COLOURS = ("#2b6cb0", "#c8ccd4", "#dd8844")
WIDTH, LABELS, BAR, GAP = 760, 170, 16, 14


def bars(groups, title):
    """groups: {label: {series: value}}.  Each group's longest bar is as long as any other's: they differ too
    much for one scale, and what counts is the ratio within a group."""
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    room = WIDTH - LABELS - 90
    y, out = 52, []
    for i, name in enumerate(series):
        x = LABELS + i * 130
        out.append(f'<rect x="{x}" y="28" width="12" height="12" fill="{COLOURS[i % len(COLOURS)]}"/>'
                   f'<text x="{x + 18}" y="38">{escape(name)}</text>')
    for label, values in groups.items():
        most = max(values.values())
        out.append(f'<text x="{LABELS - 10}" y="{y + BAR * len(values) / 2 + 4:.0f}" text-anchor="end">{escape(label)}</text>')
        for name, value in values.items():
            length = value / most * room
            out.append(f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR - 2}" '
                       f'fill="{COLOURS[series.index(name) % len(COLOURS)]}"/>'
                       f'<text x="{LABELS + length + 6:.1f}" y="{y + BAR - 5}">{value:.0f}</text>')
            y += BAR
        y += GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="#ffffff"/>'
            f'<text x="{LABELS}" y="18" font-weight="bold">{escape(title)}</text>' + "".join(out) + "</svg>\n")
