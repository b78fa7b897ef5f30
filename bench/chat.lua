-- wrk script: POST chat completions. Arguments: file with one body per line, key, kind of traffic, a number.
-- keep    one prebuilt request again and again; no Lua runs per request
-- close   the same, one connection per request
-- heads   a `traceparent` that no other request has: the number and a counter
-- models  the bodies of the file in turn
local function read_lines(path)
  local lines = {}
  for line in assert(io.open(path, "rb")):lines() do
    lines[#lines + 1] = line
  end
  return lines
end

function init(args)
  local bodies, kind = read_lines(args[1]), args[3]
  wrk.method = "POST"
  wrk.body = bodies[1]
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. args[2]
  if kind == "close" then
    wrk.headers["Connection"] = "close"
  elseif kind == "heads" then
    wrk.headers["traceparent"] = "@"
    local whole = wrk.format()
    local at = whole:find("@", 1, true)
    local before, after = whole:sub(1, at - 1) .. string.format("00-%016x", tonumber(args[4])), "-01" .. whole:sub(at + 1)
    local count, format = 0, string.format
    function request()
      count = count + 1
      return before .. format("%016x-%016x", count, count) .. after
    end
  elseif kind == "models" then
    local requests, turn = {}, 0
    for index, body in ipairs(bodies) do
      requests[index] = wrk.format(nil, nil, nil, body)
    end
    function request()
      turn = turn % #requests + 1
      return requests[turn]
    end
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %f, "bad_status": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout))
end
