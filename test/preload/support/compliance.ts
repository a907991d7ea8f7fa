/** Runs v4l2-compliance on a path and reads its verdicts. */
import { spawn } from 'node:child_process';

export type Verdict = 'OK' | 'OK (Not Supported)' | 'FAIL';

export interface Outcome {
  /** Verdicts by heading and name, such as "Control ioctls (Input 0) / VIDIOC_G/S_CTRL". */
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly output: string;
  /** The driver's name in QUERYCAP. */
  readonly driver: string;
}

const HEADING = /^\s*([A-Z][^\t]*):\s*$/;
const TEST = /^\s*test (.+?): (OK \(Not Supported\)|OK|FAIL)\s*$/;

/** Frames of each streaming test. The tool's default of 60 takes minutes in emulation. */
export const FRAMES = process.env.VMB_COMPLIANCE_FRAMES ?? '5';

const FRAME = /Frame #(\d+)/g;
/**
 * Streaming tests take a few frames more than requested. A larger number means that the count has passed zero and will
 * not end.
 */
const ENDLESS = 20 * Number(FRAMES);
/** The most milliseconds of a run. In emulation the longest takes 45 s. */
const LIMIT_MS = 240_000;

/**
 * Runs the tool on `path` with `environment` added to this process's own. On mem-to-mem nodes, version 1.30 counts
 * OUTPUT frames down and tests for zero only when it has taken a CAPTURE frame. If a CAPTURE frame is told before the
 * OUTPUT frame of its job, the count passes zero at the end, and the tool streams for ever. A frame number that is too
 * large shows this: the run is stopped, and this rejects. It rejects with the end of the output too if the tool hangs.
 */
export async function compliance(path: string, environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const { output, stopped } = await run(path, environment);
  if (stopped !== null) throw new Error(`v4l2-compliance on ${path} ${stopped}:\n${output.slice(-2000)}`);
  return outcomeOf(output);
}

/** What the tool says. `stopped`: why it was stopped; null: it has ended by itself. */
async function run(
  path: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ output: string; stopped: string | null }> {
  const tool = spawn('v4l2-compliance', ['-d', path, '-s', FRAMES], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let stopped: string | null = null;
  const stop = (why: string): void => {
    stopped ??= `(process ${tool.pid}) ${why}`;
    tool.kill('SIGKILL');
  };
  const heard = (text: string): void => {
    output += text;
    if ([...text.matchAll(FRAME)].some(([, number]) => Number(number) > ENDLESS))
      stop('streams for ever, because a frame was told too early');
  };
  for (const stream of [tool.stdout, tool.stderr]) stream.setEncoding('utf8').on('data', heard);
  const limit = setTimeout(() => stop(`has not ended after ${LIMIT_MS / 1000} s`), LIMIT_MS);
  await new Promise((resolve, reject) => tool.on('close', resolve).on('error', reject)).finally(() =>
    clearTimeout(limit),
  );
  return { output, stopped };
}

function outcomeOf(output: string): Outcome {
  // The tool overwrites its progress lines.
  const lines = output.split('\n').map((line) => line.slice(line.lastIndexOf('\r') + 1));
  const driver = /Driver name\s*: (.*)/.exec(output)?.[1]?.trim() ?? '';
  return { verdicts: verdictsOf(lines), output: lines.join('\n'), driver };
}

function verdictsOf(lines: readonly string[]): Map<string, Verdict> {
  const verdicts = new Map<string, Verdict>();
  let heading = '';
  for (const line of lines) {
    const test = TEST.exec(line);
    if (!test) {
      heading = HEADING.exec(line)?.[1] ?? heading;
      continue;
    }
    let key = `${heading} / ${test[1]}`;
    for (let n = 2; verdicts.has(key); n++) key = `${heading} / ${test[1]} (${n})`;
    verdicts.set(key, test[2] as Verdict);
  }
  return verdicts;
}

export interface Difference {
  readonly test: string;
  readonly natively: Verdict | 'not run';
  readonly bridged: Verdict | 'not run';
}

export function differences(natively: Outcome, bridged: Outcome): Difference[] {
  const tests = [...new Set([...natively.verdicts.keys(), ...bridged.verdicts.keys()])];
  return tests
    .map((test) => ({
      test,
      natively: natively.verdicts.get(test) ?? ('not run' as const),
      bridged: bridged.verdicts.get(test) ?? ('not run' as const),
    }))
    .filter(({ natively: own, bridged: other }) => own !== other);
}
