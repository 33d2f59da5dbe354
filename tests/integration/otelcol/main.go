// The OpenTelemetry Collector's own OTLP receiver, nothing else: each request that it accepts and decodes is written,
// marshalled again by the Collector's data model, to DIR/NNNNNN.otlp. Ends when its standard input does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "otelcol:", err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) != 4 {
		check(fmt.Errorf("usage: otelcol GRPC-ADDRESS HTTP-ADDRESS DIR"))
	}
	var count atomic.Int64
	sink, err := xconsumer.NewProfiles(func(_ context.Context, profiles pprofile.Profiles) error {
		var marshaler pprofile.ProtoMarshaler
		data, err := marshaler.MarshalProfiles(profiles)
		if err != nil {
			return err
		}
		name := filepath.Join(os.Args[3], fmt.Sprintf("%06d.otlp", count.Add(1)))
		return os.WriteFile(name, data, 0o644)
	})
	check(err)

	factory := otlpreceiver.NewFactory()
	profiles, ok := factory.(xreceiver.Factory)
	if !ok {
		check(fmt.Errorf("this version of the receiver takes no profiles"))
	}
	config := factory.CreateDefaultConfig()
	check(confmap.NewFromStringMap(map[string]any{
		"protocols": map[string]any{
			"grpc": map[string]any{"endpoint": os.Args[1]},
			"http": map[string]any{"endpoint": os.Args[2]},
		},
	}).Unmarshal(config))
	settings := receiver.Settings{
		ID:                component.NewID(factory.Type()),
		TelemetrySettings: componenttest.NewNopTelemetrySettings(),
		BuildInfo:         component.NewDefaultBuildInfo(),
	}
	r, err := profiles.CreateProfiles(context.Background(), settings, config, sink)
	check(err)
	check(r.Start(context.Background(), componenttest.NewNopHost()))
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	check(r.Shutdown(context.Background()))
}
