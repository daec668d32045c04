// Package daemontest runs the program in tests as it runs on a host: the binary itself, with
// sockets and a NOTIFY_SOCKET from a service manager, and clients that keep sending requests. The
// tests of the command and the labs below internal/lab share it.
//
//	func TestMain(m *testing.M) { os.Exit(daemontest.Main(m)) }
//
//	socket := daemontest.Listen(t, "proxy")
//	cmd := exec.Command("oauth-proxyd", "serve", "--config", file)
//	log := daemontest.NewRecord()
//	cmd.Stderr = log
//	daemontest.Activate(cmd, socket)
//	p := daemontest.Start(t, cmd)
//	log.Next(t, `"msg":"serving"`)
//	p.Stop(t)
//
// binary.go builds the program, process.go starts and stops it, socket.go passes sockets to it, and
// systemctl.go shows it as a unit. record.go keeps what it says. client.go and load.go send
// requests.
package daemontest
