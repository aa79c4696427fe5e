package main

import "runtime/debug"

type versionJSON struct {
	Version string   `json:"version"`
	Go      string   `json:"go"`
	Systems []string `json:"systems"`
}

// versionInfo reads what the Go toolchain wrote into the binary.
func versionInfo() versionJSON {
	v := versionJSON{Version: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version, v.Go = info.Main.Version, info.GoVersion
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "built from source"
	}
	return v
}
