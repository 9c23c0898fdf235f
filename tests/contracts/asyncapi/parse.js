// What AsyncAPI's own parser makes of the document on stdin: its faults, its channels with the names of their messages.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const { document, diagnostics } = await new Parser().parse(readFileSync(0, 'utf8'));
const channels = document?.channels().all() ?? [];
console.log(
  JSON.stringify({
    faults: diagnostics
      .filter(({ severity }) => severity < 2)
      .map(({ code, message, path }) => `${code} at ${path.join('/')}: ${message}`),
    channels: Object.fromEntries(
      channels.map((channel) => [channel.address(), channel.messages().all().map((one) => one.name())]),
    ),
  }),
);
