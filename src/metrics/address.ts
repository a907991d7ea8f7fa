/** Where metrics are served: a unix socket, or a port that only this host reaches. */

export type MetricsAddress = { readonly path: string } | { readonly host: string; readonly port: number };

const MAX_PORT = 65535;
const loopback = /^(127\.0\.0\.1|\[::1\]):(\d{1,5})$/;

/** `unix:PATH`, `127.0.0.1:PORT` or `[::1]:PORT`; port 0: any. undefined: the text is something else. */
export function parseAddress(text: string): MetricsAddress | undefined {
  const [, path] = /^unix:(.+)$/s.exec(text) ?? [];
  if (path !== undefined) return { path };
  const [, host, digits] = loopback.exec(text) ?? [];
  const port = Number(digits);
  return host !== undefined && port <= MAX_PORT ? { host: host.replaceAll(/[[\]]/g, ''), port } : undefined;
}
