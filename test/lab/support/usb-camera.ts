/** The USB camera of usb-camera/, plugged in for the kernel's own uvcvideo: its nodes, and what it is told. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { eventually } from '../../addon/process.js';
import { provide, unload } from './kernel-modules.js';

const PROGRAM = '/checkout/build/usb-camera/usb-camera';
const UVCVIDEO = 'uvcvideo';
/** The host controller stays: nothing that it keeps matters. */
const MODULES = ['vhci-hcd', UVCVIDEO];

/**
 * Seconds after which the kernel suspends what is plugged in from now on; negative: never. uvcvideo (7.3) that is asked for an event
 * while it suspends may wait for itself, and with it every program that has the camera open.
 */
const AUTOSUSPEND = '/sys/module/usbcore/parameters/autosuspend';

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
    writeFileSync(AUTOSUSPEND, '-1');
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

  /** Has the kernel suspend it as soon as nobody uses it; resolves when it has. */
  async fallAsleep(): Promise<void> {
    writeFileSync(`${this.#power}/autosuspend_delay_ms`, '0');
    const status = () => readFileSync(`${this.#power}/runtime_status`, 'latin1').trim();
    assert.ok(await eventually(() => status() === 'suspended', 5000), `the camera is ${status()}`);
  }

  /** Never again. */
  stayAwake(): void {
    writeFileSync(`${this.#power}/autosuspend_delay_ms`, '-1');
  }

  get #power(): string {
    const usbInterface = realpathSync(`/sys/class/video4linux/${basename(this.node)}/device`);
    return join(dirname(usbInterface), 'power');
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
