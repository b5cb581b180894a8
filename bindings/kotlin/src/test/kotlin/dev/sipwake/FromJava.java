package dev.sipwake;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** An app in Java without any Kotlin: it registers, answers a call and logs out. */
final class FromJava implements AutoCloseable {
    final List<String> heard = Collections.synchronizedList(new ArrayList<>());
    final CompletableFuture<Long> registered = new CompletableFuture<>();
    final CompletableFuture<SipWakeEvent.CallRinging> ringing = new CompletableFuture<>();
    final CompletableFuture<String> loggedOut = new CompletableFuture<>();
    final String account;
    final SipWakeFutures phone;
    private final SipWakeClient client;

    FromJava(String gateway, String token) throws Exception {
        AccountSetup setup = new AccountBuilder("sip:alice@mock.example", "wonderland")
            .gateways(gateway)
            .expires(86_400)
            .push(Provider.Fcm.INSTANCE, "com.example.app")
            .build();
        ClientOptions options = new OptionsBuilder().trace(message -> heard.add(message.getText())).build();
        client = new SipWakeClient(new MemoryStore(), List.of(setup), this::onEvent, options);
        phone = new SipWakeFutures(client);
        account = SipWakeFutures.idOf(setup);
        phone.setToken(account, token).get(2, TimeUnit.MINUTES);
        phone.register(account).get(2, TimeUnit.MINUTES);
    }

    private void onEvent(SipWakeEvent event) {
        if (event instanceof SipWakeEvent.Registered) {
            registered.complete(SipWakeFutures.expiresSeconds(((SipWakeEvent.Registered) event).getRegistration()));
        } else if (event instanceof SipWakeEvent.CallRinging) {
            ringing.complete((SipWakeEvent.CallRinging) event);
        } else if (event instanceof SipWakeEvent.CallAnswerWanted) {
            phone.accept(((SipWakeEvent.CallAnswerWanted) event).getUuid(), new SessionDescription("v=0\r\n"));
        } else if (event instanceof SipWakeEvent.LoggedOut) {
            loggedOut.complete(SipWakeFutures.accountOf(event));
        }
    }

    @Override
    public void close() {
        client.close();
    }
}
