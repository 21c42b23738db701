import { eventually, type FaultProxy } from '@redstart/redis-testing';
import type { MemberProcess } from '../member/member-orders.js';
import type { Suite } from '../stage/suite.js';
import { inTurn } from './in-turn.js';

const patience = { within: 30_000 };
/** How often a reply gets lost in one go. */
const times = 3;

/** What happens between processes and Redis: each of them has a faulty network of its own. */
export function networkFaults(chaos: Suite): void {
  let turn = 0;
  const nextConsumer = inTurn(() => chaos.crew.consumers);
  const nextProducer = inTurn(() => chaos.crew.producers);
  const networkOf = (member: MemberProcess): readonly FaultProxy[] => chaos.site.proxiesAt(chaos.crew.placeOf(member));

  /** The reply of such a command of this member gets lost together with its connection, a few times. */
  const loseReplies = async (member: MemberProcess, command: string): Promise<number> => {
    // Only the server that has the stream is sent such commands.
    const faults = networkOf(member).map((proxy) => proxy.dropReply(command, { times, thenReset: true }));
    const injected = () => faults.reduce((sum, fault) => sum + fault.injected, 0);
    try {
      await eventually(() => injected() >= times, patience);
    } finally {
      for (const fault of faults) fault.stop();
    }
    return injected();
  };

  chaos.fault('lost replies of XADD', async (wave) => {
    const before = (await wave.record()).unknown.size;
    const injected = await loseReplies(nextProducer(), 'XADD');
    wave.faultEnds();
    // Told, and never sent again behind the back of the publisher: the judge looks for entries that are there twice.
    await eventually(async () => (await wave.record()).unknown.size >= before + times, patience);
    return injected;
  });

  // A publication with a messageId is a script; a process that only publishes runs few other ones.
  chaos.fault('lost replies of a publication with messageId', async (wave) => {
    const before = (await wave.record()).repeated;
    const injected = await loseReplies(nextProducer(), 'EVALSHA');
    wave.faultEnds();
    await eventually(async () => (await wave.record()).repeated > before, patience);
    return injected;
  });

  chaos.fault('lost replies of XREADGROUP', async (wave) => {
    const injected = await loseReplies(nextConsumer(), 'XREADGROUP');
    wave.faultEnds();
    return injected;
  });

  chaos.fault('lost replies of XACK', async (wave) => {
    const injected = await loseReplies(nextConsumer(), 'XACK');
    wave.faultEnds();
    return injected;
  });

  // Commits, retries, dead letters, the inbox, renewals: whichever come first.
  chaos.fault('lost replies of the scripts of a consumer', async (wave) => {
    const injected = await loseReplies(nextConsumer(), 'EVALSHA');
    wave.faultEnds();
    return injected;
  });

  chaos.fault('connection resets', async (wave) => {
    let injected = 0;
    for (const member of chaos.crew.members) {
      for (const proxy of networkOf(member)) injected += proxy.reset().injected;
    }
    wave.faultEnds();
    return Promise.resolve(injected);
  });

  chaos.fault('partition of a consumer beyond minIdle', async (wave) => {
    const consumer = await wave.owner(turn++);
    await wave.holdsBack(consumer);
    const silence = networkOf(consumer).map((proxy) => proxy.blackhole());
    try {
      await wave.takenFrom(consumer);
    } finally {
      for (const fault of silence) fault.stop();
    }
    wave.faultEnds();
    await consumer.do({ order: 'let-go' });
    return silence.reduce((sum, fault) => sum + fault.injected, 0);
  });
}
