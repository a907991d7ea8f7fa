/** The command `doctor`: what keeps a guest of this host from its camera, and what helps. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { release } from 'node:os';
import type { CommandModule } from 'yargs';
import { absentFinding, noneFinding } from '../doctor/devices.js';
import type { Finding } from '../doctor/finding.js';
import { hostFindings } from '../doctor/host.js';
import { serviceFindings } from '../doctor/service.js';
import { type RunProgram, vmmFindings } from '../doctor/vmms.js';
import { inPackage } from '../package.js';
import { findNode, hostNodes } from '../v4l2/discovery.js';
import { columns } from './columns.js';
import { ExitCode } from './exit.js';
import { outputOf } from './output.js';

/** Milliseconds that another program has to say something of itself, and bytes that it may say. */
const PROGRAM_MS = 5000;
const PROGRAM_BYTES = 1 << 20;

export const doctor: CommandModule<object, { target: string | undefined; json: boolean | undefined }> = {
  command: 'doctor [target]',
  describe: 'look for what keeps a guest from its camera',
  builder: (parser) =>
    parser
      .positional('target', {
        type: 'string',
        describe: 'a node, a link to it, or a configuration of serve; default: all nodes',
      })
      .option('json', { type: 'boolean', describe: 'print JSON: an array, one element for each finding' })
      .example('$0 doctor /dev/video0', 'one camera')
      .example('$0 doctor /etc/virtio-media-bridge/config.yaml', 'all that a configuration names')
      .epilogue('Exit status: 0 if nothing fails (warnings may be there), 71 if something does.'),
  handler: async ({ target, json }) => {
    const loadAddon = () => import('../native.js');
    const host = await hostFindings({ root: '/', release: release(), node: process.version, loadAddon });
    // Without the addon no node can be opened.
    const hasAddon = host.every(({ what, state }) => what !== 'addon' || state === 'ok');
    const findings = [
      ...host,
      ...(await targetFindings(target, hasAddon)),
      ...(await vmmFindings(runProgram)),
      ...(await serviceFindings('/', inPackage('udev'))),
    ];
    console.log(outputOf(findings, json, doctorText));
    if (findings.some(({ state }) => state === 'failure')) process.exitCode = ExitCode.SYSTEM;
  },
};

async function targetFindings(target: string | undefined, hasAddon: boolean): Promise<Finding[]> {
  if (target !== undefined && (await isConfiguration(target)))
    return (await import('./doctor-config.js')).configurationFindings(target, hasAddon);
  if (!hasAddon) return [];
  return target === undefined ? everyNode() : nodeFindings(target);
}

/** Whether a path means a configuration: it is a plain file, or is called as one. */
async function isConfiguration(path: string): Promise<boolean> {
  const file = await stat(path).catch(() => null);
  return file ? file.isFile() : /\.ya?ml$/.test(path);
}

async function everyNode(): Promise<Finding[]> {
  const { lookAt } = await import('./doctor-node.js');
  const nodes = await hostNodes();
  if (nodes.length === 0) return [noneFinding];
  return (await Promise.all(nodes.map((node) => lookAt(node, false)))).flatMap(({ findings }) => findings);
}

async function nodeFindings(path: string): Promise<Finding[]> {
  const { lookAt } = await import('./doctor-node.js');
  const node = await findNode(path);
  if (!node) return [await absentFinding('/', path)];
  return (await lookAt(node, true)).findings;
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
