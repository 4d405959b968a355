"""The table for people, out of the list of results that is also written as JSON."""
import statistics

ORDER = ['accept', 'latency_p50', 'latency_p99', 'cpu_us_per_message', 'flushes_per_message', 'maildir', 'relay', 'reports', 'list', 'idle_pss',
         'pss_per_connection']
BASE = 'postfix'


def number(value):
    if value == 0:
        return '0'
    if abs(value) >= 100:
        return f'{value:,.0f}'
    return f'{value:.3g}' if abs(value) < 10 else f'{value:.1f}'


def cell(values):
    """The median, and how far the runs lie apart: without it a ratio says little."""
    if not values:
        return '-'
    middle = statistics.median(values)
    if len(values) == 1:
        return number(middle)
    return f'{number(middle)} ({number(min(values))}..{number(max(values))})'


def cases(results, measure):
    """{(connections, per_connection, pipelined, size): {peer: [values]}} in the order of appearance, and the unit."""
    found, unit = {}, ''
    for r in results:
        if r['measure'] == measure:
            key = (r['connections'], r['per_connection'], r['pipelined'], r['size'])
            found.setdefault(key, {}).setdefault(r['peer'], []).append(r['value'])
            unit = r['unit']
    return found, unit


def ratio(values, base):
    if not values or not base or statistics.median(base) == 0:
        return '-'
    return f'{statistics.median(values) / statistics.median(base):.2f}'


def rows(found, peers):
    ratios = [p for p in peers if p != BASE] if BASE in peers else []
    yield ['connections', 'per', 'pipelined', *peers, *(f'{p}/{BASE}' for p in ratios)]
    for (connections, per_connection, pipelined, _), values in sorted(found.items(), key=lambda i: i[0][1:] + i[0][:1]):
        yield [str(connections), per_connection, 'yes' if pipelined else 'no', *(cell(values.get(p)) for p in peers),
               *(ratio(values.get(p), values.get(BASE)) for p in ratios)]


def table(results):
    """Text: for each measure a block with a column for each peer, and its ratio to Postfix."""
    text = ''
    for measure in ORDER:
        found, unit = cases(results, measure)
        if not found:
            continue
        seen = {r['peer'] for r in results if r['measure'] == measure}
        peers = [p for p in dict.fromkeys(r['peer'] for r in results) if p in seen]
        sizes = ', '.join(sorted({f'{key[3]} bytes' for key in found if key[3]}))
        text += f'\n{measure}, {unit}{", " + sizes if sizes else ""}\n'
        lines = list(rows(found, sorted(peers, key=lambda p: (p != 'veredus', p != BASE, p))))
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            text += '  ' + '  '.join(word.rjust(width) for word, width in zip(line, widths)).rstrip() + '\n'
    return text
