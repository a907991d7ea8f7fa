/** The VMMs of the host, and what each can do with the bridge (docs/vmm.md). */
import { type Finding, ok, warning } from './finding.js';

/** Runs a program of the PATH. Resolves to what it printed, on both streams; null: there is none, or it failed. */
export type RunProgram = (program: string, ...words: readonly string[]) => Promise<string | null>;

interface Vmm {
  readonly program: string;
  /** What makes it tell its version. */
  readonly version: readonly string[];
  /** What makes it tell what it can do; absent: its version does. */
  readonly abilities?: readonly string[];
  /** The first row that fits is taken; the last one always fits. */
  readonly judgements: readonly Judgement[];
  readonly page: string;
}

interface Judgement {
  /** On what it said about its abilities, or on its version. */
  readonly if: RegExp;
  readonly found: string;
  /** Absent: a guest gets a camera without more. */
  readonly cure?: string;
}

const ANY = /^/;

const qemu = (machine: string): Vmm => ({
  program: `qemu-system-${machine}`,
  version: ['--version'],
  abilities: ['-device', 'help'],
  judgements: [
    { if: /"vhost-user-media-pci"/, found: 'has the device vhost-user-media-pci' },
    {
      if: /"vhost-user-test-device-pci"/,
      found: 'has only a test device, which cannot have the id of virtio-media',
      cure: 'use a QEMU with vhost-user-media-pci (QEMU master), or a guest whose driver takes id 45',
    },
    {
      if: ANY,
      found: 'has no device for a camera, and no shared memory region for its buffers',
      cure: 'use a QEMU with vhost-user-media-pci (QEMU master)',
    },
  ],
  page: 'docs/vmm.md#qemu',
});

const vmms: readonly Vmm[] = [
  qemu('x86_64'),
  qemu('aarch64'),
  {
    program: 'crosvm',
    version: ['version'],
    abilities: ['run', '--help'],
    judgements: [
      { if: /--vhost-user(?![\w-])/, found: 'takes --vhost-user media,socket=PATH' },
      { if: ANY, found: 'has no --vhost-user', cure: 'use a crosvm of August 2026 or later' },
    ],
    page: 'docs/vmm.md#crosvm',
  },
  {
    program: 'cloud-hypervisor',
    version: ['--version'],
    judgements: [
      {
        if: /\bv?(5[3-9]|[6-9]\d|\d{3,})\./,
        found: 'takes --generic-vhost-user; it has no shared memory region',
        cure: 'a guest streams only with --shared-pages, into its own memory',
      },
      {
        if: ANY,
        found: 'is older than 53.0',
        cure: 'use version 53.0 or later',
      },
    ],
    page: 'docs/vmm.md#cloud-hypervisor',
  },
];

/** One finding for each VMM that the PATH has. Without any: a warning. */
export async function vmmFindings(run: RunProgram): Promise<Finding[]> {
  const found = (await Promise.all(vmms.map((vmm) => look(vmm, run)))).filter((each) => each !== null);
  if (found.length > 0) return found;
  const cure = 'install QEMU, crosvm or cloud-hypervisor, or link libkrun; `probe` needs none of them';
  return [warning('VMM', 'there is none on the PATH', cure, 'docs/vmm.md#what-each-can-do')];
}

async function look(vmm: Vmm, run: RunProgram): Promise<Finding | null> {
  const { program, judgements, page } = vmm;
  const version = await run(program, ...vmm.version);
  if (version === null) return null;
  const said = vmm.abilities ? await run(program, ...vmm.abilities) : version;
  const [number = 'of unknown version'] = /\d+(\.\d+)+\S*/.exec(version) ?? [];
  const judgement = judgements.find((each) => each.if.test(said ?? ''))!;
  const sentence = `${number}: ${judgement.found}`;
  return judgement.cure === undefined
    ? ok(program, sentence)
    : warning(program, sentence, judgement.cure, page);
}
