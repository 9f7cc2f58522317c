-- The call of a reservation has ended: {settled, 0/1}
-- ARGV: reservation, how many ms before now it counts (negative: after now; "unsent": give everything back)
local held = take(ARGV[1])
if not held then return {'settled', 0} end
if ARGV[2] ~= 'unsent' then
  for _, part in ipairs(held) do count_in(part[1], part[2], part[3], now - tonumber(ARGV[2])) end
end
return {'settled', 1}
