package dev.sipwake.android;

import android.app.Application;
import dev.sipwake.AccountBuilder;
import dev.sipwake.AccountSetup;
import dev.sipwake.ClientOptions;
import dev.sipwake.MemoryStore;
import dev.sipwake.OptionsBuilder;
import dev.sipwake.Provider;
import dev.sipwake.SessionDescription;
import dev.sipwake.SipWakeFutures;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;

/** An app in Java with a phone that rings. */
public class JavaApp extends Application implements SipWakePhoneOwner {
    final AccountSetup setup = new AccountBuilder("sip:alice@example.com", "wonderland").push(Provider.Fcm.INSTANCE, "app").build();
    final List<List<PhoneCall>> told = new CopyOnWriteArrayList<>();
    final String account = SipWakeFutures.idOf(setup);
    private SipWakePhone phone;
    private SipWakePhoneFutures futures;

    @Override
    public void onCreate() {
        super.onCreate();
        ClientOptions options = new OptionsBuilder().build();
        PhoneSettings settings = new PhoneSettingsBuilder(android.R.drawable.sym_action_call).jobId(7).build();
        CallMedia media = SipWakePhoneFutures.media((call, offer) -> CompletableFuture.completedFuture(new SessionDescription("v=0\r\n")));
        phone = new SipWakePhone(this, settings, media, context -> new MemoryStore(), options, () -> List.of(setup));
        futures = new SipWakePhoneFutures(phone);
        futures.onCalls(Runnable::run, told::add);
    }

    @Override
    public SipWakePhone getPhone() {
        return phone;
    }

    SipWakePhoneFutures futures() {
        return futures;
    }
}
