module pyroscope

go 1.26.0

require (
	github.com/grafana/pyroscope v1.21.1
	github.com/grafana/pyroscope/api v1.5.0
)

tool github.com/grafana/pyroscope/cmd/pyroscope

// A module's replacements count only where it is the main one: these are Pyroscope's own.
replace (
	github.com/hashicorp/memberlist => github.com/grafana/memberlist v0.3.1-0.20251126142931-6f9f62ab6f86
	gopkg.in/yaml.v3 => github.com/colega/go-yaml-yaml v0.0.0-20220720105220-255a8d16d094
)
