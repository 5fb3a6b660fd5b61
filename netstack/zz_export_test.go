package netstack
import ("fmt";"reflect";"gvisor.dev/gvisor/pkg/tcpip";"gvisor.dev/gvisor/pkg/tcpip/transport/tcp")
func (d *Device) DebugStats() string {
	out := ""
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := 0; i < v.NumField(); i++ {
			f := v.Field(i)
			n := prefix + v.Type().Field(i).Name
			if !v.Type().Field(i).IsExported() && !v.Type().Field(i).Anonymous { continue }
			if c, ok := f.Interface().(*tcpip.StatCounter); ok { if c != nil && c.Value() != 0 { out += fmt.Sprintf("%s=%d ", n, c.Value()) }; continue }
			if f.CanAddr() { if c, ok := f.Addr().Interface().(*tcpip.StatCounter); ok { if c.Value() != 0 { out += fmt.Sprintf("%s=%d ", n, c.Value()) }; continue } }
			if f.Kind() == reflect.Struct { walk(n+".", f) }
		}
	}
	st := d.stack.Stats()
	walk("TCP.", reflect.ValueOf(st.TCP))
	out += fmt.Sprint("dropped=", st.DroppedPackets.Value(), " ")
	walk("IP.", reflect.ValueOf(st.IP))
	for e := range d.net.open {
		if ts, ok := e.ep.Stats().(*tcp.Stats); ok { walk("ep.", reflect.ValueOf(ts).Elem()); out += fmt.Sprint("rcvbuf=", e.ep.SocketOptions().GetReceiveBufferSize(), " sndbuf=", e.ep.SocketOptions().GetSendBufferSize(), " ") }
	}
	return out
}
