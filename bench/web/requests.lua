-- Reads paths from BENCH_PATHS and asks for them at random, or posts new products to BENCH_POST.
local paths, token, target = {}, os.getenv("BENCH_TOKEN"), os.getenv("BENCH_POST")
if os.getenv("BENCH_PATHS") then
  for line in io.lines(os.getenv("BENCH_PATHS")) do paths[#paths + 1] = line end
end
if token then wrk.headers["Authorization"] = "Bearer " .. token end
wrk.headers["Content-Type"] = "application/json"

local threads, sent = 0, 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function request()
  if not target then return wrk.format("GET", paths[math.random(#paths)]) end
  sent = sent + 1
  local letter = string.char(65 + sent % 26)
  return wrk.format("POST", target, nil, string.format(
    '{"name":"%s %s %d-%d","variant":"Botella 1 L","category":"Aceite","price":"8.95","stock":12,"tags":["oliva","virgen"]}',
    letter, os.getenv("BENCH_ROUND"), number, sent))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
