/** Serves the metrics by HTTP. A scraper that stays, floods or does not read is bounded, and delays no guest. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PairReport } from '../daemon/report.js';
import { socketError } from '../sockets.js';
import { StartError } from '../start-error.js';
import { listenAt, removeSocket } from '../vhost-user/listener.js';
import { type MetricsAddress, parseAddress } from './address.js';
import { exposition } from './exposition.js';

const OWNER_ONLY = 0o600;
/** Connections at the same time. Further ones are closed. */
export const MAX_SCRAPERS = 8;
/** Milliseconds that a connection may be silent, or take for a request. */
export const SCRAPE_MS = 5000;
/** Requests in a second, of all scrapers. Further ones are answered 429, and their connections are closed. */
export const MAX_SCRAPES = 10;
const HEADER_BYTES = 8192;
const SECOND_MS = 1000;

type Reports = () => readonly PairReport[];

export class MetricsServer {
  #second = 0;
  #inSecond = 0;

  private constructor(
    private readonly server: Server,
    private readonly reports: Reports,
    private readonly path: string | undefined,
  ) {
    server.on('request', (request, response) => this.#answer(request, response));
    server.maxConnections = MAX_SCRAPERS;
    server.timeout = SCRAPE_MS;
  }

  /** `text`: an address. Rejects with StartError. */
  static async open(text: string, reports: Reports): Promise<MetricsServer> {
    const address = parseAddress(text);
    if (!address) throw new StartError('ERR_SOCKET', `Cannot serve metrics at ${text}: it is no address.`);
    const server = createServer({
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: SCRAPE_MS,
      requestTimeout: SCRAPE_MS,
      keepAliveTimeout: SCRAPE_MS,
      connectionsCheckingInterval: SECOND_MS,
    });
    try {
      await listen(server, address);
    } catch (error) {
      throw socketError(text, error as NodeJS.ErrnoException);
    }
    return new MetricsServer(server, reports, 'path' in address ? address.path : undefined);
  }

  /** The port. null: it is a unix socket. */
  get port(): number | null {
    const bound = this.server.address() as AddressInfo | string | null;
    return typeof bound === 'object' ? (bound?.port ?? null) : null;
  }

  /** Closes the socket and every connection. Twice is harmless. */
  close(): void {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    if (this.path !== undefined) removeSocket(this.path);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // A body is nothing that a scraper sends. It is not read.
    if (
      this.#isTooMuch() ||
      request.headers['content-length'] !== undefined ||
      'transfer-encoding' in request.headers
    )
      return refuse(response, this.#inSecond > MAX_SCRAPES ? 429 : 413);
    const row = answers[request.method ?? ''];
    if (!row) return refuse(response, 405);
    if (request.url?.split('?')[0] !== '/metrics') return refuse(response, 404);
    exposition(this.reports(), request.headers.accept).then(
      ({ contentType, text }) => {
        response.writeHead(200, { 'content-type': contentType });
        response.end(row === 'body' ? text : undefined);
      },
      () => refuse(response, 500),
    );
  }

  #isTooMuch(): boolean {
    const second = Math.floor(performance.now() / SECOND_MS);
    if (second !== this.#second) this.#inSecond = 0;
    this.#second = second;
    return ++this.#inSecond > MAX_SCRAPES;
  }
}

/** By method: whether the answer has a body. */
const answers: Readonly<Record<string, 'body' | 'head'>> = { GET: 'body', HEAD: 'head' };

const listen = (server: Server, address: MetricsAddress): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    const listening = (): void => {
      server.off('error', reject);
      resolve();
    };
    // A stale socket is replaced, and no other user can connect in between.
    if ('path' in address) server.listen({ fd: listenAt(address.path, { mode: OWNER_ONLY }) }, listening);
    else server.listen({ ...address, exclusive: true }, listening);
  });

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { connection: 'close', 'content-length': 0 });
  response.end();
}
