-- SPDX-License-Identifier: MIT
-- How rspamd reads the results of ARC-Authentication-Results.  A line of standard input is a
-- result; its properties are printed as lines of name, tab, value, with an empty line at the end.
local parse = require("lua_auth_results").parse_ar_element

for line in io.lines() do
  for name, value in pairs(parse(line) or {}) do
    print(name .. "\t" .. value)
  end
  print("")
end
