-- Runs several scripts, each as if it were alone, but at one instant: what they
-- share is asked once. steps holds the scripts as functions.
-- KEYS: those of the scripts, one after the other
-- ARGV: for each script: name, how many keys, how many arguments, the arguments
-- Answers: what each of them answers, which is a list, or the text of its error
local out, arg, key = {}, 1, 0
while ARGV[arg] do
  local keys, args, nkeys, nargs = {}, {}, tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  for i = 1, nkeys do keys[i] = KEYS[key + i] end
  for i = 1, nargs do args[i] = ARGV[arg + 2 + i] end
  local done, answer = pcall(steps[ARGV[arg]], keys, args)
  if not done then answer = type(answer) == 'table' and answer.err or tostring(answer) end
  out[#out + 1] = answer
  arg, key = arg + 3 + nargs, key + nkeys
end
return out
