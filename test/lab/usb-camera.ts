/** The USB camera of usb-camera/, plugged in for the kernel's own uvcvideo: its nodes, and what it is told. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { eventually } from '../addon/process.js';
import { provide, unload } from './kernel-modules.js';

const PROGRAM = '/checkout/build/usb-camera/usb-camera';
const UVCVIDEO = 'uvcvideo';
/** The host controller stays: nothing that it keeps matters. */
const MODULES = ['vhci-hcd', UVCVIDEO];

let cameras = 0;

export class UsbCamera {
  /** /dev paths of the camera and of its metadata. */
  node = '';
  metadata = '';
  #isPluggedIn = false;

  private constructor(
    private readonly process: ChildProcess,
    private readonly socket: string,
  ) {}

  /** Loads the drivers and plugs a camera in; skips the suite of `context` where that cannot be done. */
  static async plugIn(context: Mocha.Context): Promise<UsbCamera> {
    if (existsSync('/run/lab') && !existsSync(PROGRAM)) {
      console.error(`SKIPPED: there is no ${PROGRAM}: test/lab/usb-camera/build.sh makes it`);
      context.skip();
    }
    provide(context, ...MODULES);
    return UsbCamera.plugInBeside();
  }

  /** One more, beside what is there; the drivers are loaded. `options`: of the program. */
  static async plugInBeside(...options: string[]): Promise<UsbCamera> {
    const socket = `/run/usb-camera-${cameras++}.sock`;
    const child = spawn(PROGRAM, ['serve', '--socket', socket, ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const camera = new UsbCamera(child, socket);
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    camera.#named(line);
    return camera;
  }

  /** One of the commands of usb-camera/README.md. */
  async tell(command: string): Promise<string> {
    const socket = connect(this.socket);
    socket.write(`${command}\n`);
    return (await text(socket)).trim();
  }

  /** Undoes every fault. */
  async heal(): Promise<void> {
    assert.equal(await this.tell('well'), 'ok');
  }

  /** Pulls the plug; the nodes are gone afterwards. */
  async unplug(): Promise<void> {
    assert.equal(await this.tell('unplug'), 'ok');
    this.#isPluggedIn = false;
  }

  async replug(): Promise<void> {
    this.#named(await this.tell('replug'));
  }

  /** Ends the camera and unloads its driver. */
  async end(): Promise<void> {
    await this.takeAway();
    unload(UVCVIDEO);
  }

  /** Ends the camera; its driver stays. */
  async takeAway(): Promise<void> {
    this.process.kill();
    await once(this.process, 'exit');
    // Pulled before, its node's path may be another camera's.
    if (!this.#isPluggedIn) return;
    assert.ok(await eventually(() => !existsSync(this.node), 5000), `${this.node} outlives its camera`);
  }

  #named(line: string): void {
    const nodes = line.split(' ');
    assert.equal(nodes.length, 2, `the camera said "${line}"`);
    [this.node, this.metadata] = nodes as [string, string];
    this.#isPluggedIn = true;
  }
}
