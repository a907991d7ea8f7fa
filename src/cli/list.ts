/** The command `list`: the V4L2 nodes of the host, one line for each. */
import type { CommandModule } from 'yargs';
import { NO_NODE_CURE } from '../doctor/devices.js';
import { hostNodes } from '../v4l2/discovery.js';
import type { QueueDescription } from '../v4l2/enumeration.js';
import { type Survey, surveyNode } from '../v4l2/survey.js';
import { columns } from './columns.js';
import { outputOf } from './output.js';

/** Formats of a node in the table. More would only make it wide, and `inspect` shows all. */
const SHOWN_FORMATS = 4;

/** The message if the host has no node. */
export const NO_NODES = `This host has no V4L2 node: ${NO_NODE_CURE}.`;

export const list: CommandModule<object, { json: boolean | undefined }> = {
  command: 'list',
  describe: 'show the V4L2 nodes of this host, and which of them can be served',
  builder: (parser) =>
    parser.option('json', { type: 'boolean', describe: 'print JSON: an array, one element a node' }),
  handler: async ({ json }) => {
    const nodes = await hostNodes();
    const surveys = nodes.length === 0 ? [] : await surveyAll(nodes);
    if (surveys.length === 0 && !json) console.error(NO_NODES);
    else console.log(outputOf(surveys, json, listText));
  },
};

async function surveyAll(nodes: Awaited<ReturnType<typeof hostNodes>>): Promise<Survey[]> {
  const { probeFile } = await import('../v4l2/probe-file.js');
  return Promise.all(nodes.map((node) => surveyNode(node, 'summary', probeFile(node.path))));
}

/** A table, then a sentence for each reason why a node cannot be served and for each caution. */
export function listText(surveys: readonly Survey[]): string {
  const header = ['DEVICE', 'KIND', 'DRIVER', 'CARD', 'FORMATS', 'MEMORY', 'SERVE'];
  const lines = columns([header, ...surveys.map(row)]);
  const remarks = remarksOf(surveys);
  return [...lines, ...(remarks.length > 0 ? ['', ...remarks] : [])].join('\n');
}

/** Each sentence appears once, after the paths of its nodes. */
function remarksOf(surveys: readonly Survey[]): string[] {
  const nodes = new Map<string, string[]>();
  for (const { node, reason, cautions } of surveys) {
    for (const sentence of reason === null ? cautions : [reason, ...cautions])
      nodes.set(sentence, [...(nodes.get(sentence) ?? []), node.path]);
  }
  return [...nodes].map(([sentence, paths]) => `${paths.join(', ')}: ${sentence}.`);
}

function row({ node, kind, identity, queues, serveable }: Survey): string[] {
  return [
    node.path,
    identity === undefined && kind === 'unknown' ? '?' : kind,
    (identity?.driver ?? node.driver) || '-',
    (identity?.card ?? node.title) || '-',
    formatsOf(queues),
    memoryOf(queues),
    serveable ? 'yes' : 'no',
  ];
}

function formatsOf(queues: readonly QueueDescription[]): string {
  const names = [...new Set(queues.flatMap(({ formats }) => formats.map(({ fourcc }) => fourcc)))];
  if (names.length === 0) return '-';
  const more = names.length - SHOWN_FORMATS;
  return names.slice(0, SHOWN_FORMATS).join(' ') + (more > 0 ? ` +${more}` : '');
}

/** The memory types that all queues have in common. Queues without any are left out, because a node of two VBI types
 * has buffers only for the chosen type. */
function memoryOf(queues: readonly QueueDescription[]): string {
  if (queues.some(({ memory }) => memory === null)) return 'busy';
  const known = queues.map(({ memory }) => memory ?? []).filter((memory) => memory.length > 0);
  const common = (known[0] ?? []).filter((name) => known.every((memory) => memory.includes(name)));
  return common.join(' ').toLowerCase() || '-';
}
