import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { judge } from '../lib/statistics.mjs';

const program = fileURLToPath(new URL('cold-key-process.mjs', import.meta.url));
const callers = 250;
const processes = 2;
/** The long one once: it outlasts the lease, which has to be renewed. */
const loads = [
  { name: '50 ms', loadMs: 50, times: 11 },
  { name: '20 s', loadMs: 20_000, times: 1 },
];

/** How often one cold key is loaded that 500 callers of two processes want at once. */
export async function coldKeyBench({ url }) {
  const children = [];
  try {
    for (let count = 0; count < processes; count += 1) {
      const child = fork(program, [url, count === 0 ? 'near' : 'far']);
      children.push(child);
      await once(child, 'message');
    }
    const rows = [];
    for (const { name, loadMs, times } of loads) {
      const counts = [];
      const tookMs = [];
      for (let time = 0; time < times; time += 1) {
        const startedAt = performance.now();
        const answers = children.map((child) => once(child, 'message'));
        for (const child of children) child.send({ key: `cold-${name}-${time}`, callers, loadMs });
        const outcomes = (await Promise.all(answers)).map(([outcome]) => outcome);
        tookMs.push(performance.now() - startedAt - loadMs);
        counts.push(outcomes.reduce((sum, outcome) => sum + outcome.loads, 0));
        const values = new Set(outcomes.flatMap((outcome) => outcome.values));
        if (values.size !== 1) throw new Error(`${values.size} different values of one load.`);
      }
      rows.push({ name, counts, tookMs });
    }
    return {
      title: `One cold key, ${processes} processes x ${callers} callers`,
      text: 'All ask for it at the same moment by getOrSet(); one process has a near tier, the other none. The loader takes a while.',
      tables: [
        rows.map(({ name, counts, tookMs }) => ({
          loader: name,
          runs: counts.length,
          'loads, fewest and most': `${Math.min(...counts)}, ${Math.max(...counts)}`,
          'last caller served, after the load': `${Math.max(...tookMs).toFixed(0)} ms at most`,
        })),
      ],
      verdicts: rows.map(({ name, counts }) => {
        const most = Math.max(...counts);
        return { measure: `most loads, loader of ${name}`, bar: { atMost: 1 }, ...judge([most], { atMost: 1 }) };
      }),
    };
  } finally {
    await Promise.all(
      children.map(async (child) => {
        const ended = once(child, 'exit');
        if (child.connected) child.send('end');
        await ended;
      }),
    );
  }
}
