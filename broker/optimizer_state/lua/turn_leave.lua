-- A request needs its turn no more: it has ended, or will not run: {left} | {runs}, if only one that waits is to leave
-- ARGV: name, what it came after, only if it waits (0/1)
local name, after, only_waiting = unpack(ARGV)
if HOLDER == name then
  if only_waiting == '1' then return {'runs'} end
  end_turn(name)
elseif in_line(name) then
  step_out(name, 'e')
else
  local kind = mark_of(name)
  if not kind or kind == 'd' then set_mark(name, 'e', after) end
end
return {'left'}
