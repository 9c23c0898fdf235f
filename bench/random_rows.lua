-- wrk's requests for random ids, and its figures as one line of JSON. Arguments: an address with %d
-- in place of the id's number, and how many ids there are.
local address, ids

function init(args)
  address, ids = args[1], tonumber(args[2])
  math.randomseed(tonumber(tostring({}):match("0x(%x+)"), 16) % 2147483647)
end

function request()
  return wrk.format("GET", string.format(address, math.random(ids)))
end

function done(summary, latency)
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
