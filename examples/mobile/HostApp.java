// A host app for Android: what an app implements to take payments with the unit
// of payment/mobile. It reaches the server by a socket and the card by IsoDep's
// methods, and shows the unit's screens by three small interfaces of its own, so
// that nothing here depends on a particular view.

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

import mobile.CardInfo;
import mobile.Cancelable;
import mobile.Config;
import mobile.Confirmation;
import mobile.Connection;
import mobile.Event;
import mobile.Keypad;
import mobile.Mobile;
import mobile.Notice;
import mobile.Observer;
import mobile.Prompt;
import mobile.Relay;
import mobile.Result;
import mobile.Screen;
import mobile.StringList;
import mobile.Transceiver;
import mobile.Unit;

public final class HostApp {
	/** The views of the app that the unit's screen is drawn by. */
	public interface Views {
		void message(String id, String language, String reason);

		void trade(String merchant, String kind, String amount, String currency);

		void applications(StringList labels);

		void keypad(Prompt prompt, byte[] layout);

		void mask(int digits);

		void clear();

		void progress(String text);
	}

	/** The relay: opaque bytes to the payment server and back. */
	static final class SocketRelay implements Relay {
		private final String host;
		private final int port;

		SocketRelay(String host, int port) {
			this.host = host;
			this.port = port;
		}

		@Override
		public Connection open() throws Exception {
			Socket socket = new Socket(host, port);
			InputStream in = socket.getInputStream();
			OutputStream out = socket.getOutputStream();
			return new Connection() {
				@Override
				public byte[] read(int max) throws Exception {
					byte[] b = new byte[Math.min(max, 1 << 14)];
					int n = in.read(b);
					return n < 0 ? new byte[0] : Arrays.copyOf(b, n);
				}

				@Override
				public void write(byte[] b) throws Exception {
					out.write(b);
				}

				@Override
				public void close() throws Exception {
					socket.close();
				}
			};
		}
	}

	/** The screen and the keypad. Answers come from the views by answer and key. */
	final class Terminal implements Screen, Keypad {
		private final BlockingQueue<Integer> answers = new LinkedBlockingQueue<>();
		private final BlockingQueue<Integer> keys = new LinkedBlockingQueue<>();

		@Override
		public void notify(Notice n) {
			views.message(n.getMessage(), n.getLanguage(), n.param("reason"));
		}

		@Override
		public boolean confirm(Confirmation c) throws Exception {
			answers.clear();
			views.trade(c.getMerchant(), c.getKind(), c.getAmount(), c.getCurrency());
			return answers.take() == 0;
		}

		@Override
		public int choose(StringList labels) throws Exception {
			answers.clear();
			views.applications(labels);
			return answers.take();
		}

		@Override
		public void dismiss() {
			views.clear();
			answers.add(-1);
		}

		@Override
		public void open(Prompt p, byte[] layout) {
			keys.clear();
			views.keypad(p, layout);
		}

		@Override
		public int next() throws Exception {
			return keys.take();
		}

		@Override
		public void mask(int digits) {
			views.mask(digits);
		}

		@Override
		public void close() {
			views.clear();
			keys.add(Mobile.KeyCancel);
		}
	}

	/** What android.nfc.tech.IsoDep has. */
	public interface Tag {
		byte[] transceive(byte[] command) throws IOException;

		byte[] getHistoricalBytes();

		int getMaxTransceiveLength();

		void close() throws IOException;
	}

	private final Views views;
	private final Terminal terminal = new Terminal();
	private final Unit unit;
	private Cancelable running;

	/** Opens the unit; activation enrols a device that is not enrolled yet. */
	public HostApp(Views views, String host, int port, String dir, byte[] sealingKey, byte[] terminalData, byte[] capk, String activation)
			throws Exception {
		this.views = views;
		Config c = new Config(new SocketRelay(host, port), terminal, terminal);
		c.setDir(dir);
		c.setSealingKey(sealingKey);
		c.setTerminal(terminalData);
		c.setCAPK(capk);
		c.setActivation(activation);
		c.useObserver(new Observer() {
			@Override
			public void onEvent(Event e) {
				views.progress(e.getText());
			}
		});
		unit = Mobile.open(c, null);
		unit.recover(null);
	}

	/** Pays an order, on a thread of its own; the receipt, or why there is none. */
	public String pay(String order) {
		synchronized (this) {
			running = Mobile.newCancelable();
		}
		try {
			Result r = unit.pay(order, running);
			return r.getReceipt();
		} catch (Exception e) {
			if (Mobile.errorCode(e).equals(Mobile.CodeCardRemoved)) {
				return "hold the card until the end";
			}
			return e.getMessage();
		}
	}

	/** Ends the payment that runs. */
	public synchronized void cancel() {
		if (running != null) {
			running.cancel();
		}
	}

	/** An answer to a trade or a list of applications: its index, or -1 for none. */
	public void answer(int index) {
		terminal.answers.add(index);
	}

	/** A key of the PIN pad: a cell, or one of Mobile's key constants. */
	public void key(int key) {
		terminal.keys.add(key);
	}

	/** A card that the platform has found. */
	public void tagDiscovered(Tag tag) throws Exception {
		CardInfo info = Mobile.newCardInfo();
		info.setContactless(true);
		info.setHistoricalBytes(tag.getHistoricalBytes());
		info.setMaxCommand(tag.getMaxTransceiveLength());
		unit.cardFound(new Transceiver() {
			@Override
			public byte[] transceive(byte[] command) throws Exception {
				return tag.transceive(command);
			}

			@Override
			public void close() throws Exception {
				tag.close();
			}
		}, info);
	}
}
