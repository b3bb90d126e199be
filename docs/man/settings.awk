# SPDX-License-Identifier: Apache-2.0
# Makes the list of settings of agent-studio.conf(5) from the samples in
# conf.d, which a test keeps equal to the tables of the program.
#
#	awk -f settings.awk conf.d/*.conf

function quoted(s) {
	gsub(/\\/, "\\e", s)
	gsub(/"/, "\\(dq", s)
	return s
}

function setting(line, name, value) {
	name = line
	sub(/ = .*/, "", name)
	value = line
	sub(/^[^=]*= /, "", value)
	sub(/;$/, "", value)
	if (value ~ /^".*"$/)
		value = substr(value, 2, length(value) - 2)
	printf ".It Cm %s%s", (section != "" ? section "." : ""), name
	if (value == "" || value == "[ ]")
		print " Pq none"
	else
		printf " Pq %s\n", quoted(value)
	print text
	text = ""
}

FNR == 1 { section = ""; text = "" }
/^[a-z_]+ : \{$/ { section = $1; text = ""; next }
/^\};$/ { section = ""; next }
/^\t?# [a-z_]+ = .*;$/ {
	sub(/^\t?# /, "")
	setting($0)
	next
}
/^\t?# / {
	sub(/^\t?# /, "")
	text = text (text != "" ? "\n" : "") quoted($0)
	next
}
/^$/ { text = "" }
