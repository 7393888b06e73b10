-- wrk's script: posts the lines of a file in turn, and prints what came of it as one line of JSON.
local bodies, at = {}, 0
local threads = {}

function setup(thread)
   thread:set("offset", #threads * 977)
   table.insert(threads, thread)
end

function init(args)
   wrk.headers["content-type"] = "application/json"
   for line in io.lines(args[1]) do
      bodies[#bodies + 1] = wrk.format("POST", wrk.path, wrk.headers, line)
   end
   at = offset
end

function request()
   at = at % #bodies + 1
   return bodies[at]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format('{"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), e.status,
      e.connect + e.read + e.write + e.timeout))
end
