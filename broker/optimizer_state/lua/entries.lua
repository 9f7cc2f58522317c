-- What is known of stored answers, but the answers: {how many keys were looked at, an entry for each that is there, packed}
-- An operator's look, never on the way of a request: its keys are those of many questions. It stops early when much was
-- read, because nobody else is served meanwhile.
-- ARGV: most bytes to read, key…
local entries, read, looked = {}, 0, 0
for i = 2, #ARGV do
  local key = ARGV[i]
  local blob = redis.call('GET', key)
  looked = i - 1
  if blob then
    read = read + #blob
    local ok, fields = pcall(cmsgpack.unpack, blob)
    if not ok or type(fields) ~= 'table' then fields = {} end
    local usage = redis.pcall('MEMORY', 'USAGE', key)
    entries[#entries + 1] = {
      fingerprint = string.match(key, '{(%x+)}:answer$'),
      tenant = fields.tenant,
      agent = fields.agent,
      namespace = fields.namespace,
      task = fields.task,
      backend = fields.backend,
      model = fields.model,
      stored_ms = fields.stored_ms,
      since_ms = fields.since_ms,
      ttl_ms = math.max(0, redis.call('PTTL', key)),
      bytes = #blob,
      memory = type(usage) == 'number' and usage or #key + #blob,
    }
  end
  if read > tonumber(ARGV[1]) then break end
end
-- An empty table would be a map.
return {looked, #entries == 0 and '\144' or cmsgpack.pack(entries)}
