/** The command `doctor`: what keeps a guest of this host from its camera, and what helps. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import type { CommandModule } from 'yargs';
import { deviceFindings, missingFinding, noneFinding } from '../doctor/devices.js';
import type { Finding } from '../doctor/finding.js';
import { hostFindings } from '../doctor/host.js';
import { serviceFindings } from '../doctor/service.js';
import { type RunProgram, vmmFindings } from '../doctor/vmms.js';
import { inPackage } from '../package.js';
import { findNode, hostNodes } from '../v4l2/discovery.js';
import { holdersOf, surveyNode } from '../v4l2/survey.js';
import { columns } from './columns.js';
import { ExitCode } from './exit.js';
import { outputOf } from './output.js';

/** Milliseconds that another program has to say something of itself, and bytes that it may say. */
const PROGRAM_MS = 5000;
const PROGRAM_BYTES = 1 << 20;

export const doctor: CommandModule<object, { device: string | undefined; json: boolean | undefined }> = {
  command: 'doctor [device]',
  describe: 'look for what keeps a guest from its camera',
  builder: (parser) =>
    parser
      .positional('device', { type: 'string', describe: 'a node, or a link to it; default: all nodes' })
      .option('json', { type: 'boolean', describe: 'print JSON: an array, one element for each finding' })
      .epilogue('Exit status: 0 if nothing fails (warnings may be there), 71 if something does.'),
  handler: async ({ device, json }) => {
    const loadAddon = () => import('../native.js');
    const host = await hostFindings({ root: '/', release: release(), node: process.version, loadAddon });
    // Without the addon no node can be opened.
    const hasAddon = host.every(({ what, state }) => what !== 'addon' || state === 'ok');
    const findings = [
      ...host,
      ...(hasAddon ? await devices(device) : []),
      ...(await vmmFindings(runProgram)),
      ...(await serviceFindings('/', inPackage('udev'))),
    ];
    console.log(outputOf(findings, json, doctorText));
    if (findings.some(({ state }) => state === 'failure')) process.exitCode = ExitCode.SYSTEM;
  },
};

async function devices(path: string | undefined): Promise<Finding[]> {
  const { probeFile } = await import('../v4l2/probe-file.js');
  const one = path === undefined ? undefined : await findNode(path);
  if (path !== undefined && one === undefined) return [missingFinding(path, existsSync(path))];
  const nodes = one ? [one] : await hostNodes();
  if (nodes.length === 0) return [noneFinding];
  const found = await Promise.all(
    nodes.map(async (node) => {
      const file = probeFile(node.path);
      const survey = await surveyNode(node, 'summary', file);
      return deviceFindings(survey, await holdersOf(file), one !== undefined);
    }),
  );
  return found.flat();
}

/** A line for each finding, and below it what helps. */
export function doctorText(findings: readonly Finding[]): string {
  const lines = columns(findings.map(({ state, what, found }) => [state, what, found]));
  return findings
    .flatMap(({ cure, page }, index) =>
      cure === null ? [lines[index]!] : [lines[index]!, `         ${cure} (${page})`],
    )
    .join('\n');
}

const runProgram: RunProgram = (program, ...words) =>
  new Promise((resolve) => {
    const options = { timeout: PROGRAM_MS, maxBuffer: PROGRAM_BYTES, killSignal: 'SIGKILL' } as const;
    execFile(program, words, options, (error, stdout, stderr) => resolve(error ? null : stdout + stderr));
  });
