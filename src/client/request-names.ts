/** Names of the requests of a vhost-user front-end. */
import { FrontEndRequest } from '../vhost-user/protocol.js';

const names = new Map<number, string>(
  Object.entries(FrontEndRequest).map(([name, number]) => [number, name]),
);

/** Name for messages; `request N` if the number is not in the table. */
export function requestName(request: number): string {
  return names.get(request) ?? `request ${request}`;
}
