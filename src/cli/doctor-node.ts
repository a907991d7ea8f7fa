/** What `doctor` finds about one node. Needs the addon. */
import { deviceFindings } from '../doctor/devices.js';
import type { Finding } from '../doctor/finding.js';
import { iommuFinding } from '../doctor/iommu.js';
import type { HostNodeEntry } from '../v4l2/discovery.js';
import { probeFile } from '../v4l2/probe-file.js';
import { holdersOf, type Survey, surveyNode } from '../v4l2/survey.js';

/** `isAsked`: the operator has named the node, so one that cannot be served is a failure. */
export async function lookAt(
  node: HostNodeEntry,
  isAsked: boolean,
): Promise<{ survey: Survey; findings: Finding[] }> {
  const file = probeFile(node.path);
  const survey = await surveyNode(node, 'summary', file);
  const findings = deviceFindings(survey, await holdersOf(file), isAsked);
  return { survey, findings: [...findings, await iommuFinding('/', node.path, node.device)] };
}
